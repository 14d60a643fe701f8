package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/event"
)

// unconforming refuses the events of a batch whose data does not conform to the schema that a user
// registered for their type.
func (a *API) unconforming(b *event.Batch) []event.Refusal {
	schemas := a.config.Schemas.Current()
	var refused []event.Refusal
	for i, e := range b.Events {
		if e == nil {
			continue
		}
		if err := schemas.Check(e.Type, e.Data); err != nil {
			refused = append(refused, event.Refusal{
				Index: i, ID: e.ID, Code: event.CodeInvalid, Detail: err.Error(), Fields: map[string]string{"event_data": err.Error()},
			})
		}
	}
	return refused
}

// ListEventSchemas implements routes.ServerInterface.
func (a *API) ListEventSchemas(c echo.Context) error {
	all := a.config.Schemas.Current().All()
	list := api.EventSchemaList{EventSchemas: make([]api.EventSchemaSummary, len(all))}
	for i, s := range all {
		list.EventSchemas[i] = api.EventSchemaSummary{EventType: s.EventType, Enforced: s.Enforced}
	}
	return answer(c, http.StatusOK, list)
}

// GetEventSchema implements routes.ServerInterface.
func (a *API) GetEventSchema(c echo.Context, eventType string) error {
	found := a.config.Schemas.Current().Find(eventType)
	if found == nil {
		return problem.New(http.StatusNotFound, "there is no schema for events of type %q: they are taken with any data; GET /api/v1/audit/event-schemas lists the types that have one", eventType)
	}
	return answerText(c, http.StatusOK, found.Text)
}
