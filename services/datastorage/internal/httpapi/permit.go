package httpapi

import (
	"context"
	"errors"
	"fmt"
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

// permit refuses the events of a batch whose types the caller may not write. An
// error means that nobody can tell, or that the batch asks for too much.
func (a *API) permit(ctx context.Context, b *event.Batch) ([]event.Refusal, error) {
	if err := affordable(b); err != nil {
		return nil, err
	}
	caller := auth.CallerFrom(ctx).Name
	verdicts := map[string]string{} // why events are refused, by what decides it
	var refused []event.Refusal
	for i, e := range b.Events {
		if e == nil {
			continue
		}
		key := typePrefix(e.Type)
		if key == producerTypes {
			key += "/" + e.ProducerID
		}
		detail, known := verdicts[key]
		if !known {
			var err error
			if detail, err = a.permitType(ctx, e, caller); err != nil {
				return nil, err
			}
			verdicts[key] = detail
		}
		if detail != "" {
			refused = append(refused, event.Forbidden(i, e.ID, detail))
		}
	}
	return refused, nil
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

// permitType returns why a caller may not write an event, or "".
func (a *API) permitType(ctx context.Context, e *event.Event, caller string) (string, error) {
	switch prefix := typePrefix(e.Type); {
	case caller == "":
		// Nobody is authenticated, and everything is permitted.
		return "", nil
	case prefix == ownTypes:
		return "types under " + ownTypes + ". are recorded by DataStorage itself", nil
	case prefix == producerTypes:
		return a.permitProducer(ctx, e.ProducerID, caller)
	default:
		err := a.config.Auth.Authorize(ctx, createEvents.Named(prefix), auth.Scope{})
		if forbidden, ok := errors.AsType[*auth.ForbiddenError](err); ok {
			return forbidden.Detail(), nil
		}
		if err != nil {
			return "", problem.Unavailable(retryAfter, err, "it cannot be checked now which event types the caller may write; send the request again")
		}
		return "", nil
	}
}

func (a *API) permitProducer(ctx context.Context, producerID, caller string) (string, error) {
	if producerID == "" {
		return "an event under " + producerTypes + ". speaks about its producer: it needs a producer_id", nil
	}
	owner, err := a.config.Producers.Claim(ctx, producerID, caller)
	if err != nil {
		return "", problem.Unavailable(retryAfter, err, "it cannot be checked now whose producer_id this is; send the request again")
	}
	if owner != caller {
		return fmt.Sprintf("producer_id %q belongs to another recorder, which was the first to use it", producerID), nil
	}
	return "", nil
}

// setAside refuses events of a lenient request, so that the others are stored.
func setAside(b *event.Batch, refused []event.Refusal) {
	for _, r := range refused {
		b.Events[r.Index] = nil
	}
	b.Refusals = append(slices.Clone(b.Refusals), refused...)
}

// forbidden is the answer to a batch with events that its caller may not write.
func forbidden(refused []event.Refusal, one bool) error {
	detail := refused[0].Detail
	if !one {
		detail = fmt.Sprintf("nothing was stored: the caller may not write %d of the events, the first at index %d: %s", len(refused), refused[0].Index, detail)
	}
	p := problem.New(http.StatusForbidden, "%s", detail)
	p.Items = items(refused)
	return p
}
