package httpapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/query"
)

// PlaceLegalHold implements routes.ServerInterface.
func (a *API) PlaceLegalHold(c echo.Context) error {
	sent, err := decodeBody[api.LegalHoldRequest](a, c)
	if err != nil {
		return err
	}
	id := value(sent.HoldId)
	if id == uuid.Nil {
		id = uuid.Must(uuid.NewV7())
	}
	request, bad := hold.NewRequest(id, value(sent.CorrelationId), map[string]string(sent.Filter), sent.Reason, a.config.Clock.Now())
	if len(bad) > 0 {
		return badParameters(bad)
	}
	placed, err := a.config.Holds.Place(c.Request().Context(), request, User(c.Request().Context()))
	if err != nil {
		return HoldProblem(err)
	}
	return answer(c, http.StatusCreated, wireHold(&placed))
}

// ListLegalHolds implements routes.ServerInterface.
func (a *API) ListLegalHolds(c echo.Context, p api.ListLegalHoldsParams) error {
	return a.listHolds(c, "", value(p.Released), query.ListParams{Limit: p.Limit, Cursor: value(p.Cursor)})
}

// GetLegalHolds implements routes.ServerInterface.
func (a *API) GetLegalHolds(c echo.Context, name string, p api.GetLegalHoldsParams) error {
	return a.listHolds(c, name, true, query.ListParams{Limit: p.Limit, Cursor: value(p.Cursor)})
}

func (a *API) listHolds(c echo.Context, name string, withReleased bool, p query.ListParams) error {
	var asked []accesslog.Filter
	if name != "" {
		asked = only("name", name)
	}
	return a.query(c, kindHolds, asked, func(*int) error {
		var list api.LegalHoldList
		err := a.queued(c.Request().Context(), caller(c), func() error {
			holds, next, err := a.config.Holds.List(c.Request().Context(), hold.Selector{Name: name}, withReleased, p)
			list = wireHolds(holds)
			list.HasMore, list.NextCursor = next != "", next
			return err //nolint:wrapcheck // explained below
		})
		switch {
		case err != nil:
			return a.pageProblem(err)
		case name != "" && p.Cursor == "" && len(list.LegalHolds) == 0:
			return problem.New(http.StatusNotFound, "there is no hold on correlation id %q, and none with this id", name)
		}
		return answer(c, http.StatusOK, list)
	})
}

// ReleaseLegalHold implements routes.ServerInterface.
func (a *API) ReleaseLegalHold(c echo.Context, name string, p api.ReleaseLegalHoldParams) error {
	bad := map[string]string{}
	if hold.CheckReason(bad, p.Reason); len(bad) > 0 {
		return badParameters(bad)
	}
	released, err := a.config.Holds.Release(c.Request().Context(), hold.Selector{Name: name}, p.Reason, User(c.Request().Context()))
	switch {
	case errors.Is(err, hold.ErrNotFound):
		return problem.New(http.StatusNotFound, "no hold on correlation id %q is in force, and none with this id", name)
	case err != nil:
		return HoldProblem(err)
	}
	return answer(c, http.StatusOK, wireHolds(released))
}

// HoldProblem answers an error of placing or releasing a hold, other than hold.ErrNotFound.
func HoldProblem(err error) error {
	switch {
	case errors.Is(err, hold.ErrConflict), errors.Is(err, hold.ErrTooMany):
		return problem.New(http.StatusConflict, "%v", err)
	case errors.Is(err, hold.ErrCaller):
		return DeniedUser(err)
	}
	return passing(err)
}

func wireHolds(holds []hold.Hold) api.LegalHoldList {
	list := api.LegalHoldList{LegalHolds: make([]api.LegalHold, len(holds))}
	for i := range holds {
		list.LegalHolds[i] = wireHold(&holds[i])
	}
	return list
}

func wireHold(h *hold.Hold) api.LegalHold {
	return api.LegalHold{
		HoldId: h.ID, CorrelationId: h.CorrelationID, Filter: api.EventFilter(h.Filter), Reason: h.Reason, PlacedBy: h.PlacedBy, PlacedAt: h.PlacedAt,
		ReleasedAt: h.ReleasedAt, ReleasedBy: h.ReleasedBy, ReleaseReason: h.ReleaseReason, Unusable: h.Unusable,
	}
}

// decodeBody reads a body that is one JSON object. An unknown field is refused: it may be a mistyped filter.
func decodeBody[T any](a *API, c echo.Context) (*T, error) {
	if _, err := mediaType(c, mediaJSON); err != nil {
		return nil, err
	}
	body, held, err := a.bodies.read(c)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	var sent T
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&sent); err != nil {
		return nil, problem.Validation(nil, "the body is not usable: %s", unreadable(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, problem.Validation(nil, "the body is not usable: something follows the object")
	}
	return &sent, nil
}

// unreadable says in words of JSON why a body was not decoded.
func unreadable(err error) string {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case errors.Is(err, io.EOF):
		return "it is empty, and must be a JSON object"
	case ok && wrong.Field == "":
		return fmt.Sprintf("it is %s, and must be a JSON object", article(wrong.Value))
	case ok:
		wanted := map[reflect.Kind]string{reflect.String: "a text", reflect.Slice: "a list", reflect.Bool: "true or false", reflect.Int: "a whole number"}
		return fmt.Sprintf("%s has %s where %s belongs", wrong.Field, article(wrong.Value), cmp.Or(wanted[wrong.Type.Kind()], "an object"))
	case strings.Contains(err.Error(), "UUID"):
		return fmt.Sprintf("an id in it must be a UUID, for instance 0190163d-8694-739b-aea5-966c26f8ad91: %v", err)
	default:
		return strings.TrimPrefix(err.Error(), "json: ")
	}
}

// article puts an article in front of what encoding/json calls a value; a number or a boolean comes with its text.
func article(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	if strings.IndexByte("ao", kind[0]) >= 0 {
		return "an " + kind
	}
	return "a " + kind
}
