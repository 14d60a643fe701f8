package httpapi

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/query"
)

// The kinds of queries, for their metrics.
const (
	kindList  = "list"
	kindGet   = "get"
	kindHolds = "holds"
)

// ListEvents implements routes.ServerInterface.
func (a *API) ListEvents(c echo.Context, p api.ListEventsParams) error {
	params := queryParams(p)
	return a.query(c, kindList, Filters(params.Filters()), func(events *int) error {
		return a.search(c, params, func(ctx context.Context, out *page) error {
			found, err := out.list(ctx, a.config.Finder, params)
			*events = found
			return err
		})
	})
}

// GetEvent implements routes.ServerInterface.
func (a *API) GetEvent(c echo.Context, id uuid.UUID) error {
	return a.query(c, kindGet, only("event_id", id.String()), func(events *int) error {
		return a.page(c, func(ctx context.Context, out *page) error {
			stored, err := a.config.Finder.Get(ctx, id)
			switch {
			case errors.Is(err, query.ErrNotFound):
				return problem.New(http.StatusNotFound, "there is no event %s", id)
			case err != nil:
				return err //nolint:wrapcheck // explained by the page
			}
			*events = 1
			return out.addEvent(ctx, &stored)
		})
	})
}

// query handles a request that reads: it tells the observer, and the log of accesses with the request's filters and
// the number of events that handle found.
func (a *API) query(c echo.Context, kind string, asked []accesslog.Filter, handle func(events *int) error) error {
	start, events := a.config.Clock.Now(), 0
	err := handle(&events)
	status := statusOf(c, err)
	a.config.Observer.Queried(kind, status, a.config.Clock.Since(start))
	a.config.Accesses.Answered(status, &accesslog.Read{
		Caller: auth.CallerFrom(c.Request().Context()), Kind: kind, Filters: asked, Events: events,
	})
	return err
}

// Filters are those of a query as the log of accesses has them.
func Filters(given iter.Seq2[string, string]) []accesslog.Filter {
	var asked []accesslog.Filter
	for name, value := range given {
		asked = append(asked, accesslog.Filter{Name: name, Value: value})
	}
	return asked
}

func only(name, value string) []accesslog.Filter {
	return []accesslog.Filter{{Name: name, Value: value}}
}

func queryParams(p api.ListEventsParams) query.Params {
	q := query.Params{
		EventType: value(p.EventType), EventCategory: value(p.EventCategory), EventAction: value(p.EventAction),
		EventOutcome: string(value(p.EventOutcome)), Severity: value(p.Severity), CorrelationID: value(p.CorrelationId),
		ActorType: value(p.ActorType), ActorID: value(p.ActorId), RecordedBy: value(p.RecordedBy), ProducerID: value(p.ProducerId),
		ErrorCode: value(p.ErrorCode), ParentEventID: p.ParentEventId, ResourceType: value(p.ResourceType), ResourceID: value(p.ResourceId),
		Namespace: value(p.Namespace), ClusterID: value(p.ClusterId),
		Since: value(p.Since), Until: value(p.Until), DetailKey: p.DetailKey, DetailValue: p.DetailValue,
		Order: string(value(p.Order)), Cursor: value(p.Cursor), Limit: p.Limit, Offset: p.Offset,
	}
	if p.AtLeast != nil {
		q.AtLeast = *p.AtLeast
	}
	return q
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func wireEvent(s *query.Stored, belongs belonging) api.StoredEvent {
	w := api.StoredEvent{
		EventId: s.ID, Version: s.Version, EventType: s.Type, EventTimestamp: s.Timestamp, EventDate: s.Timestamp.Format(time.DateOnly),
		EventCategory: s.Category, EventAction: s.Action, EventOutcome: api.EventOutcome(s.Outcome),
		CorrelationId: s.CorrelationID, EventData: s.Data,
		ActorType: optional(s.ActorType), ActorId: optional(s.ActorID), ActorIp: optional(s.ActorIP),
		ResourceType: optional(s.ResourceType), ResourceId: optional(s.ResourceID),
		Namespace: optional(s.Namespace), ClusterId: optional(s.ClusterID),
		Severity: optional(s.Severity), ErrorCode: optional(s.ErrorCode), ErrorMessage: optional(s.ErrorMessage),
		RetentionDays: &s.RetentionDays, IsSensitive: &s.Sensitive,
		ProducerId: optional(s.ProducerID), ProducerEpoch: s.ProducerEpoch, ProducerSeq: s.ProducerSeq,
		RecordedBy: optional(s.RecordedBy), ReceivedAt: s.ReceivedAt,
		Foreign: belongs.foreign, RecorderUnchecked: belongs.unchecked,
	}
	w.ErasedAt = s.ErasedAt
	if s.DurationMicros != nil {
		const microsPerMilli = 1000
		ms := float64(*s.DurationMicros) / microsPerMilli
		w.DurationMs = &ms
	}
	if s.ParentID != uuid.Nil {
		w.ParentEventId = &s.ParentID
	}
	if s.ClaimedID != uuid.Nil {
		w.ClaimedEventId = &s.ClaimedID
	}
	if skew := s.ClockSkew(); skew > 0 {
		ms := skew.Milliseconds()
		w.ClockSkewMs = &ms
	}
	return w
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
