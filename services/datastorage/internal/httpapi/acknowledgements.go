package httpapi

import (
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/acknowledgement"
)

// GetAcknowledgement implements routes.ServerInterface. A record exists only for
// the caller whose events it is about: who acknowledged what is no other
// service's business.
func (a *API) GetAcknowledgement(c echo.Context, id uuid.UUID) error {
	return a.query(c, kindGet, only("event_id", id.String()), func(events *int) error {
		var record acknowledgement.Record
		err := a.queued(c.Request().Context(), caller(c), func() error {
			var err error
			record, err = a.config.Acknowledgements.Get(c.Request().Context(), id)
			return err //nolint:wrapcheck // explained below
		})
		switch {
		case errors.Is(err, acknowledgement.ErrNotFound), err == nil && record.Recorder != caller(c):
			return problem.New(http.StatusNotFound, "there is no acknowledgement %s of events that this caller recorded", id)
		case err != nil:
			return a.pageProblem(err)
		}
		*events = 1
		return answer(c, http.StatusOK, api.Acknowledgement{
			Id: record.ID, Recorder: record.Recorder, EventIds: record.EventIDs, Reason: record.Reason,
			AcknowledgedBy: record.User.Name, AcknowledgedAt: record.At,
		})
	})
}
