package httpapi

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/internal/query"
)

const kindStats = "stats"

// GetEventStats implements routes.ServerInterface.
func (a *API) GetEventStats(c echo.Context, p api.GetEventStatsParams) error {
	params := query.StatsParams{
		EventType: value(p.EventType), EventOutcome: string(value(p.EventOutcome)), Severity: value(p.Severity), Namespace: value(p.Namespace),
		Since: value(p.Since), Until: value(p.Until), Bucket: value(p.Bucket), By: value(p.By), AtLeast: value(p.AtLeast),
	}
	return a.query(c, kindStats, Filters(params.Filters()), func(*int) error {
		return a.page(c, func(ctx context.Context, out *page) error {
			return out.stats(ctx, a.config.Finder, params)
		})
	})
}

// stats appends counts, and what they are of.
func (p *page) stats(ctx context.Context, finder *query.Finder, params query.StatsParams) error {
	if err := p.add(ctx, []byte(`{"data":[`)); err != nil {
		return err
	}
	first := true
	found, err := finder.Stats(ctx, params, func(one *query.Count) error {
		if !first {
			if err := p.add(ctx, []byte{','}); err != nil {
				return err
			}
		}
		first = false
		return p.addJSON(ctx, api.EventCount{
			Start: one.Start, Events: one.Events, EventType: optional(one.EventType), EventOutcome: optional(one.EventOutcome),
			Severity: optional(one.Severity), Namespace: optional(one.Namespace),
		}, 0)
	})
	if err != nil {
		return err //nolint:wrapcheck // explained by the caller
	}
	if err := p.add(ctx, []byte(`],"span":`)); err != nil {
		return err
	}
	span := api.StatsSpan{Since: found.Since, Until: found.Until, BucketSeconds: int64(found.Bucket / time.Second), UncountedEvents: found.Uncounted}
	if !found.ContinueAt.IsZero() {
		span.ContinueAt = &found.ContinueAt
	}
	if err := p.addJSON(ctx, span, 0); err != nil {
		return err
	}
	return p.add(ctx, []byte{'}'})
}
