package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
)

const (
	kindErasures = "erasures"
	kindPreview  = "preview"
	// mostWait bounds the seconds that getErasure waits.
	mostWait = 60
)

// RequestErasure implements routes.ServerInterface.
func (a *API) RequestErasure(c echo.Context) error {
	sent, err := decodeBody[api.ErasureRequest](a, c)
	if err != nil {
		return err
	}
	id := value(sent.ErasureId)
	if id == uuid.Nil {
		id = uuid.Must(uuid.NewV7())
	}
	request, bad := erasure.NewRequest(id, sent.EventIds, sent.Reason)
	if len(bad) > 0 {
		return badParameters(bad)
	}
	recorded, err := a.config.Erasures.Request(c.Request().Context(), request, User(c.Request().Context()))
	if err != nil {
		return ErasureProblem(err)
	}
	return answer(c, http.StatusAccepted, wireErasure(&recorded))
}

// ErasureProblem explains an error of [erasure.Store.Request].
func ErasureProblem(err error) error {
	refused, ok := errors.AsType[*erasure.EventsError](err)
	switch {
	case ok:
		p := problem.New(http.StatusConflict, "%v; nothing was recorded", refused)
		p.FieldErrors = map[string]string{}
		for _, id := range refused.Unknown {
			p.FieldErrors[id.String()] = "is not stored"
		}
		for _, id := range refused.Own {
			p.FieldErrors[id.String()] = "was recorded by DataStorage itself, and tells who did what with the trail"
		}
		for _, k := range refused.Held {
			p.FieldErrors[k.EventID.String()] = fmt.Sprintf("is kept by legal hold %s", k.HoldID)
		}
		return p
	case errors.Is(err, erasure.ErrCaller):
		return DeniedUser(err)
	case errors.Is(err, erasure.ErrConflict), errors.Is(err, erasure.ErrTooMany):
		return problem.New(http.StatusConflict, "%v", err)
	default:
		return passing(err)
	}
}

// ListErasures implements routes.ServerInterface.
func (a *API) ListErasures(c echo.Context, p api.ListErasuresParams) error {
	return a.query(c, kindErasures, nil, func(*int) error {
		var list api.ErasureList
		err := a.queued(c.Request().Context(), caller(c), func() error {
			erasures, next, err := a.config.Erasures.List(c.Request().Context(), query.ListParams{Limit: p.Limit, Cursor: value(p.Cursor)})
			list = api.ErasureList{Erasures: make([]api.Erasure, len(erasures)), HasMore: next != "", NextCursor: next}
			for i := range erasures {
				list.Erasures[i] = wireErasure(&erasures[i])
			}
			return err //nolint:wrapcheck // explained below
		})
		if err != nil {
			return a.pageProblem(err)
		}
		return answer(c, http.StatusOK, list)
	})
}

// GetErasure implements routes.ServerInterface.
func (a *API) GetErasure(c echo.Context, id uuid.UUID, p api.GetErasureParams) error {
	if wait := value(p.Wait); wait < 0 || wait > mostWait {
		return badParameters(map[string]string{"wait": fmt.Sprintf("must be from 0 to %d seconds", mostWait)})
	}
	return a.query(c, kindErasures, only("erasure_id", id.String()), func(*int) error {
		found, err := a.config.Erasures.Get(c.Request().Context(), id, time.Duration(value(p.Wait))*time.Second)
		switch {
		case errors.Is(err, erasure.ErrNotFound):
			return problem.New(http.StatusNotFound, "there is no erasure %s", id)
		case err != nil:
			return a.pageProblem(err)
		}
		return answer(c, http.StatusOK, wireErasure(&found))
	})
}

// PreviewErasure implements routes.ServerInterface.
func (a *API) PreviewErasure(c echo.Context) error {
	sent, err := decodeBody[api.ErasurePreviewRequest](a, c)
	if err != nil {
		return err
	}
	params, err := query.Filter(sent.Filter).Params()
	if err != nil {
		return a.pageProblem(err)
	}
	limit := query.MaxLimit
	params.Limit, params.Cursor = &limit, value(sent.Cursor)
	if sent.Limit != nil {
		params.Limit = sent.Limit
	}
	return a.query(c, kindPreview, Filters(params.Filters()), func(events *int) error {
		return a.search(c, params, func(ctx context.Context, out *page) error {
			found, read, err := Erasable(ctx, a.config.Finder, a.config.Erasures, params)
			if err != nil {
				return err
			}
			*events = read
			return out.addJSON(ctx, found, 0)
		})
	})
}

// Erasable finds the events of a page that can be erased, and those of them that legal holds keep. It also returns how many
// events the page has. Its errors are those of a page.
func Erasable(ctx context.Context, f *query.Finder, erasures *erasure.Store, params query.Params) (found api.ErasurePreview, events int, err error) {
	found.EventIds = []uuid.UUID{}
	p, err := f.Find(ctx, params, func(s *query.Stored) error {
		if s.ErasedAt == nil && s.RecordedBy != ownevent.RecordedBy {
			found.EventIds = append(found.EventIds, s.ID)
		}
		return nil
	})
	if err != nil {
		return found, 0, err //nolint:wrapcheck // explained by the page
	}
	held, err := erasures.Held(ctx, found.EventIds)
	if err != nil {
		return found, 0, err //nolint:wrapcheck // explained by the page
	}
	found.Held, found.HasMore, found.NextCursor, found.ScannedUntil = wireHeld(held), p.HasMore, p.NextCursor, p.ScannedUntil
	return found, p.Events, nil
}

func wireErasure(e *erasure.Erasure) api.Erasure {
	w := api.Erasure{
		ErasureId: e.ID, EventIds: e.EventIDs, Events: e.Events, Reason: e.Reason, RequestedBy: e.RequestedBy, RequestedAt: e.RequestedAt,
		Status: api.ErasureStatus(e.Status), FinishedAt: e.FinishedAt, Erased: e.Erased, Missing: e.Missing, Altered: e.Altered, Own: e.Own, Unusable: e.Unusable,
	}
	if len(e.Held) > 0 {
		w.Held = wireHeld(e.Held)
	}
	return w
}

func wireHeld(held []hold.Keeps) []api.HeldEvent {
	out := make([]api.HeldEvent, len(held))
	for i, k := range held {
		out[i] = api.HeldEvent{EventId: k.EventID, HoldId: k.HoldID}
	}
	return out
}
