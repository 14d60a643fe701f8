package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/event"
)

const (
	// ownTypes begin the types of events that DataStorage records itself.
	ownTypes = "datastorage"
	// producerTypes begin the types of events that speak about their producer.
	producerTypes = "audit"
	// maxPrefixes bounds the first parts of event types in a request: each may cost
	// a review.
	maxPrefixes = 32
	// maxProducers bounds the producers of events under producerTypes in a request.
	maxProducers = 32
)

// createEvents is the permission to write events; the name is the first part of
// their type.
var createEvents = onEvents("create", writer)

// typePrefix is the first part of an event type.
func typePrefix(eventType string) string {
	first, _, _ := strings.Cut(eventType, ".")
	return first
}

// The reasons of denied requests of callers who have the permission for the route.
const (
	reasonUser     auth.Reason = "unusable_user"
	reasonType     auth.Reason = "reserved_type"
	reasonProducer auth.Reason = "other_producer"
)

// permit refuses the events of a batch whose types the caller may not write, and says
// why the first of them is denied. An error means that nobody can tell, or that the
// batch asks for too much.
func (a *API) permit(ctx context.Context, b *event.Batch) (refused []event.Refusal, first *problem.Error, err error) {
	if err := affordable(b); err != nil {
		return nil, nil, err
	}
	caller := auth.CallerFrom(ctx).Name
	verdicts := map[string]*problem.Error{} // why events are refused, by what decides it
	for i, e := range b.Events {
		if e == nil {
			continue
		}
		key := typePrefix(e.Type)
		if key == producerTypes {
			key += "/" + e.ProducerID
		}
		denied, known := verdicts[key]
		if !known {
			if denied, err = a.permitType(ctx, e, caller); err != nil {
				return nil, nil, err
			}
			verdicts[key] = denied
		}
		if denied != nil {
			refused = append(refused, event.Forbidden(i, e.ID, denied.Detail))
			first = cmp.Or(first, denied)
		}
	}
	return refused, first, nil
}

// affordable refuses a batch that would cost too many reviews.
func affordable(b *event.Batch) error {
	prefixes, producers := map[string]struct{}{}, map[string]struct{}{}
	for _, e := range b.Events {
		if e == nil {
			continue
		}
		prefix := typePrefix(e.Type)
		prefixes[prefix] = struct{}{}
		if prefix == producerTypes {
			producers[e.ProducerID] = struct{}{}
		}
	}
	if len(prefixes) > maxPrefixes || len(producers) > maxProducers {
		return problem.Validation(nil, "the events of a request may have %d first parts of event_type, and those under %s. may be of %d producers: send them in several requests",
			maxPrefixes, producerTypes, maxProducers)
	}
	return nil
}

// permitType returns why a caller may not write an event, or nil.
func (a *API) permitType(ctx context.Context, e *event.Event, caller string) (denied *problem.Error, err error) {
	switch prefix := typePrefix(e.Type); {
	case caller == "":
		// Nobody is authenticated, and everything is permitted.
		return nil, nil //nolint:nilnil // permitted
	case prefix == ownTypes:
		return auth.Denied(reasonType, "types under %s. are recorded by DataStorage itself", ownTypes), nil
	case prefix == producerTypes:
		return a.permitProducer(ctx, e.ProducerID, caller)
	default:
		err := a.config.Auth.Authorize(ctx, createEvents.Named(prefix), auth.Scope{})
		if forbidden, ok := errors.AsType[*auth.ForbiddenError](err); ok {
			denied = problem.New(http.StatusForbidden, "%s", forbidden.Detail())
			denied.Cause = forbidden
			return denied, nil
		}
		if err != nil {
			return nil, problem.Unavailable(retryAfter, err, "it cannot be checked now which event types the caller may write; send the request again")
		}
		return nil, nil //nolint:nilnil // permitted
	}
}

func (a *API) permitProducer(ctx context.Context, producerID, caller string) (denied *problem.Error, err error) {
	if producerID == "" {
		return auth.Denied(reasonProducer, "an event under %s. speaks about its producer: it needs a producer_id", producerTypes), nil
	}
	owner, err := a.config.Producers.Claim(ctx, producerID, caller)
	if err != nil {
		return nil, problem.Unavailable(retryAfter, err, "it cannot be checked now whose producer_id this is; send the request again")
	}
	if owner != caller {
		return auth.Denied(reasonProducer, "producer_id %q belongs to another recorder, which was the first to use it", producerID), nil
	}
	return nil, nil //nolint:nilnil // permitted
}

// setAside refuses events of a lenient request, so that the others are stored.
func setAside(b *event.Batch, refused []event.Refusal) {
	for _, r := range refused {
		b.Events[r.Index] = nil
	}
	b.Refusals = append(slices.Clone(b.Refusals), refused...)
}

// forbidden is the answer to a batch with events that its caller may not write.
func forbidden(refused []event.Refusal, first *problem.Error, one bool) error {
	p := first
	if !one {
		p = problem.New(http.StatusForbidden, "nothing was stored: the caller may not write %d of the events, the first at index %d: %s",
			len(refused), refused[0].Index, first.Detail)
		p.Cause = first.Cause
	}
	p.Items = items(refused)
	return p
}
