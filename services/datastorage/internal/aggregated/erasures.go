package aggregated

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/query"
)

const (
	kindErasure = "Erasure"
	// paramWait is for how many seconds an open erasure's end is waited for. The API server cuts requests after 60 s.
	paramWait = "wait"
	mostWait  = 30
)

// Erasure takes what events say about people. Its name is its id, a UUID; creating it with
// a name that it has asks for nothing new.
type Erasure struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     ErasureSpec       `json:"spec"`
	Status   *ErasureStatus    `json:"status,omitempty"`
}

// ErasureSpec says which events. A list of erasures has no ids of events.
type ErasureSpec struct {
	EventIDs []uuid.UUID `json:"eventIDs,omitempty"`
	// Reason stays in the trail: it must not name the person.
	Reason string `json:"reason"`
}

// ErasureStatus says who asked for it, and what became of it.
type ErasureStatus struct {
	RequestedBy string           `json:"requestedBy"`
	RequestedAt metav1.MicroTime `json:"requestedAt"`
	// Phase is requested, erased or refused; the last two are final.
	Phase      erasure.Status    `json:"phase"`
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`
	// Events are how many the request names, Erased how many were erased.
	Events int `json:"events"`
	Erased int `json:"erased"`
	// Missing events had been removed by retention.
	Missing []uuid.UUID `json:"missing,omitempty"`
	// Held, altered and own events are why nothing was erased.
	Held    []HeldEvent `json:"held,omitempty"`
	Altered []uuid.UUID `json:"altered,omitempty"`
	Own     []uuid.UUID `json:"own,omitempty"`
	// Unusable: the request is malformed, and nothing was erased.
	Unusable bool `json:"unusable,omitempty"`
}

// HeldEvent is an event that a legal hold keeps.
type HeldEvent struct {
	EventID uuid.UUID `json:"eventID"`
	HoldID  uuid.UUID `json:"holdID"`
}

func heldEvents(held []hold.Keeps) []HeldEvent {
	made := make([]HeldEvent, len(held))
	for i, k := range held {
		made[i] = HeldEvent{EventID: k.EventID, HoldID: k.HoldID}
	}
	return made
}

func newErasure(e *erasure.Erasure) Erasure {
	made := Erasure{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kindErasure},
		Metadata: objectMeta(e.ID.String(), e.RequestedAt),
		Spec:     ErasureSpec{EventIDs: e.EventIDs, Reason: e.Reason},
		Status: &ErasureStatus{
			RequestedBy: e.RequestedBy, RequestedAt: metav1.NewMicroTime(e.RequestedAt.UTC()), Phase: e.Status, Events: e.Events, Erased: e.Erased,
			Missing: e.Missing, Held: heldEvents(e.Held), Altered: e.Altered, Own: e.Own, Unusable: e.Unusable,
		},
	}
	if e.FinishedAt != nil {
		at := metav1.NewMicroTime(e.FinishedAt.UTC())
		made.Status.FinishedAt = &at
	}
	return made
}

func (a *api) requestErasure(c echo.Context) error {
	if err := onlyIgnored(c.Request().URL, "fieldManager", "fieldValidation"); err != nil {
		return err
	}
	var sent Erasure
	err := readObject(c, kindErasure, &sent, func() object { return object{sent.TypeMeta, sent.Metadata, sent.Status != nil} })
	if err != nil {
		return err
	}
	id, err := objectName(kindErasure, sent.Metadata.Name)
	if err != nil {
		return err
	}
	request, bad := erasure.NewRequest(id, sent.Spec.EventIDs, sent.Spec.Reason)
	if len(bad) > 0 {
		if wrong, found := bad["event_ids"]; found {
			delete(bad, "event_ids")
			bad["eventIDs"] = wrong
		}
		return unusable(kindErasure, bad)
	}
	ctx := c.Request().Context()
	recorded, err := a.config.Erasures.Request(ctx, request, httpapi.User(ctx))
	if err != nil {
		return httpapi.ErasureProblem(err) //nolint:wrapcheck // a problem
	}
	return c.JSON(http.StatusCreated, newErasure(&recorded))
}

func (a *api) getErasure(c echo.Context) error {
	return a.observed(kindErasures, func(c echo.Context, asked *accesslog.Read) error {
		patience, err := waited(c)
		if err != nil {
			return err
		}
		id, err := objectID(c, "erasure")
		if err != nil {
			return err
		}
		asked.Filters = []accesslog.Filter{{Name: filterName, Value: id.String()}}
		// Waiting holds no memory of a page.
		found, err := a.config.Erasures.Get(c.Request().Context(), id, patience)
		if errors.Is(err, erasure.ErrNotFound) {
			return problem.New(http.StatusNotFound, "there is no erasure %s", id)
		}
		return a.config.Pages.Answer(c, func(ctx context.Context, to *httpapi.Page) error {
			switch {
			case err != nil:
				return err //nolint:wrapcheck // explained by the page
			case wantsTable(c):
				return writeList(ctx, to, erasureTable, []erasure.Erasure{found}, "")
			}
			return to.JSON(ctx, newErasure(&found), 0)
		})
	}, c)
}

// waited reads for how long the end of an erasure is waited for.
func waited(c echo.Context) (time.Duration, error) {
	if err := onlyIgnored(c.Request().URL, paramWait); err != nil {
		return 0, err
	}
	text := c.QueryParam(paramWait)
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 0 || seconds > mostWait {
		wrong := fmt.Sprintf("must be from 0 to %d seconds", mostWait)
		return 0, problem.Validation(map[string]string{paramWait: wrong}, "the parameter wait %s", wrong)
	}
	return time.Duration(seconds) * time.Second, nil
}

func (a *api) listErasures(c echo.Context) error {
	return a.observed(kindErasures, func(c echo.Context, _ *accesslog.Read) error {
		if err := onlyIgnored(c.Request().URL, paramLimit, paramContinue); err != nil {
			return err
		}
		limit, err := pageLimit(c.QueryParam(paramLimit))
		if err != nil {
			return problem.Validation(map[string]string{paramLimit: err.Error()}, "unusable parameters: %s", paramLimit)
		}
		return a.config.Pages.Answer(c, func(ctx context.Context, to *httpapi.Page) error {
			found, next, err := a.config.Erasures.List(ctx, query.ListParams{Limit: limit, Cursor: c.QueryParam(paramContinue)})
			if err != nil {
				return err //nolint:wrapcheck // explained by the page
			}
			form := erasureList
			if wantsTable(c) {
				form = erasureTable
			}
			return writeList(ctx, to, form, found, next)
		})
	}, c)
}

var (
	erasureList = listForm[erasure.Erasure]{
		before: `{"apiVersion":"` + apiVersion + `","kind":"ErasureList","items":[`,
		item:   func(e *erasure.Erasure) any { return newErasure(e) },
	}
	erasureTable = listForm[erasure.Erasure]{before: tableStart([]metav1.TableColumnDefinition{
		columnName,
		{Name: "Phase", Type: columnText},
		{Name: "Events", Type: columnNumber},
		{Name: "Erased", Type: columnNumber},
		{Name: "Requested by", Type: columnText},
		{Name: "Requested at", Type: columnText},
		{Name: "Reason", Type: columnText},
	}), item: erasureRow}
)

func erasureRow(e *erasure.Erasure) any {
	return metav1.TableRow{
		Cells:  []any{e.ID.String(), string(e.Status), e.Events, e.Erased, e.RequestedBy, e.RequestedAt.UTC().Format(time.RFC3339), e.Reason},
		Object: rowObject(e.ID, e.RequestedAt),
	}
}
