package aggregated

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/query"
)

const (
	kindLegalHold = "LegalHold"
	// paramCorrelationID and paramReleased select holds in a list.
	paramCorrelationID = "correlation_id"
	paramReleased      = "released"
	// paramReason is why a hold is released: a deletion has no place for it in its body.
	paramReason = "reason"
	// filterName is the filter of a hold that is read by its name.
	filterName = "name"
)

// LegalHold keeps events until it is released. Its name is its id, a UUID. Deleting it
// releases it; the object stays, as the record of the hold.
type LegalHold struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     LegalHoldSpec     `json:"spec"`
	Status   *LegalHoldStatus  `json:"status,omitempty"`
}

// LegalHoldSpec says which events are held: those of a correlation id, or those that match a filter.
type LegalHoldSpec struct {
	CorrelationID string `json:"correlationID,omitempty"`
	// Filter has the names of the filters of events.
	Filter query.Filter `json:"filter,omitempty"`
	Reason string       `json:"reason"`
}

// LegalHoldStatus says who placed the hold and who released it.
type LegalHoldStatus struct {
	PlacedBy      string            `json:"placedBy"`
	PlacedAt      metav1.MicroTime  `json:"placedAt"`
	ReleasedBy    string            `json:"releasedBy,omitempty"`
	ReleasedAt    *metav1.MicroTime `json:"releasedAt,omitempty"`
	ReleaseReason string            `json:"releaseReason,omitempty"`
	// Unusable: the hold is malformed. While it is in force, it keeps all events.
	Unusable bool `json:"unusable,omitempty"`
}

func newLegalHold(h *hold.Hold) LegalHold {
	made := LegalHold{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kindLegalHold},
		Metadata: objectMeta(h.ID.String(), h.PlacedAt),
		Spec:     LegalHoldSpec{CorrelationID: h.CorrelationID, Filter: h.Filter, Reason: h.Reason},
		Status: &LegalHoldStatus{
			PlacedBy: h.PlacedBy, PlacedAt: metav1.NewMicroTime(h.PlacedAt), ReleasedBy: h.ReleasedBy, ReleaseReason: h.ReleaseReason,
			Unusable: h.Unusable,
		},
	}
	if h.ReleasedAt != nil {
		at := metav1.NewMicroTime(h.ReleasedAt.UTC())
		made.Status.ReleasedAt = &at
	}
	return made
}

func (a *api) placeHold(c echo.Context) error {
	if err := onlyIgnored(c.Request().URL, "fieldManager", "fieldValidation"); err != nil {
		return err
	}
	var sent LegalHold
	err := readObject(c, kindLegalHold, &sent, func() object { return object{sent.TypeMeta, sent.Metadata, sent.Status != nil} })
	if err != nil {
		return err
	}
	id, err := objectName(kindLegalHold, sent.Metadata.Name)
	if err != nil {
		return err
	}
	request, bad := hold.NewRequest(id, sent.Spec.CorrelationID, sent.Spec.Filter, sent.Spec.Reason, a.config.Clock.Now())
	if len(bad) > 0 {
		if wrong, found := bad[paramCorrelationID]; found {
			delete(bad, paramCorrelationID)
			bad["correlationID"] = wrong
		}
		return unusable(kindLegalHold, bad)
	}
	ctx := c.Request().Context()
	placed, err := a.config.Holds.Place(ctx, request, httpapi.User(ctx))
	if err != nil {
		return httpapi.HoldProblem(err) //nolint:wrapcheck // a problem
	}
	return c.JSON(http.StatusCreated, newLegalHold(&placed))
}

func (a *api) listHolds(c echo.Context) error {
	return a.observed(kindHolds, func(c echo.Context, asked *accesslog.Read) error {
		selected, err := selectedHolds(c.Request().URL)
		if err != nil {
			return err
		}
		if selected.which.Name != "" {
			asked.Filters = []accesslog.Filter{{Name: filterName, Value: selected.which.Name}}
		}
		return a.config.Pages.Answer(c, func(ctx context.Context, to *httpapi.Page) error {
			holds, next, err := a.config.Holds.List(ctx, selected.which, selected.released, selected.page)
			if err != nil {
				return err //nolint:wrapcheck // explained by the page
			}
			form := holdList
			if wantsTable(c) {
				form = holdTable
			}
			return writeList(ctx, to, form, holds, next)
		})
	}, c)
}

func (a *api) getHold(c echo.Context) error {
	return a.observed(kindHolds, func(c echo.Context, asked *accesslog.Read) error {
		if err := onlyIgnored(c.Request().URL); err != nil {
			return err
		}
		id, err := objectID(c, "legal hold")
		if err != nil {
			return err
		}
		asked.Filters = []accesslog.Filter{{Name: filterName, Value: id.String()}}
		return a.config.Pages.Answer(c, func(ctx context.Context, to *httpapi.Page) error {
			holds, _, err := a.config.Holds.List(ctx, hold.Selector{ID: id}, true, query.ListParams{})
			switch {
			case err != nil:
				return err //nolint:wrapcheck // explained by the page
			case len(holds) == 0:
				return problem.New(http.StatusNotFound, "there is no legal hold %s", id)
			case wantsTable(c):
				return writeList(ctx, to, holdTable, holds, "")
			}
			return to.JSON(ctx, newLegalHold(&holds[0]), 0)
		})
	}, c)
}

func (a *api) releaseHold(c echo.Context) error {
	if err := onlyIgnored(c.Request().URL, paramReason, "gracePeriodSeconds", "propagationPolicy", "orphanDependents"); err != nil {
		return err
	}
	id, err := objectID(c, "legal hold")
	if err != nil {
		return err
	}
	reason := c.QueryParam(paramReason)
	bad := map[string]string{}
	if hold.CheckReason(bad, reason); len(bad) > 0 {
		return problem.Validation(bad, "a hold is released with a reason, as in kubernaut hold release %s --reason TEXT: the parameter reason %s", id, bad[paramReason])
	}
	if err := plainDeletion(c, id); err != nil {
		return err
	}
	ctx := c.Request().Context()
	released, err := a.config.Holds.Release(ctx, hold.Selector{ID: id}, reason, httpapi.User(ctx))
	switch {
	case errors.Is(err, hold.ErrNotFound):
		return problem.New(http.StatusNotFound, "no legal hold %s is in force", id)
	case err != nil:
		return httpapi.HoldProblem(err) //nolint:wrapcheck // a problem
	}
	return c.JSON(http.StatusOK, newLegalHold(&released[0]))
}

// plainDeletion rejects options of a deletion that would not have their effect.
func plainDeletion(c echo.Context, id uuid.UUID) error {
	text, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, maxBody))
	if err != nil {
		return problem.New(http.StatusBadRequest, "the body is not readable: %v", err)
	}
	var options metav1.DeleteOptions
	if len(text) > 0 {
		if err := json.Unmarshal(text, &options); err != nil {
			return problem.Validation(nil, "the body is not DeleteOptions: %v", err)
		}
	}
	if len(options.DryRun) > 0 {
		return problem.Validation(map[string]string{"dryRun": "is not possible"}, "dryRun is not possible: nothing was released")
	}
	p := options.Preconditions
	if p != nil && p.ResourceVersion != nil && *p.ResourceVersion != "" {
		return problem.Validation(map[string]string{"preconditions.resourceVersion": "is not possible: use preconditions.uid"},
			"legal holds have no resourceVersion that preconditions could name: nothing was released")
	}
	if p != nil && p.UID != nil && string(*p.UID) != id.String() {
		return problem.New(http.StatusConflict, "legal hold %s has its name as its UID, not %s", id, *p.UID)
	}
	return nil
}

// askedHolds is what a list is asked for.
type askedHolds struct {
	which    hold.Selector
	released bool
	page     query.ListParams
}

// selectedHolds reads the parameters of a list.
func selectedHolds(u *url.URL) (s askedHolds, err error) {
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return s, problem.Validation(nil, "the query is not readable: %v", err)
	}
	for _, parameter := range ignored {
		given.Del(parameter)
	}
	if watch := given.Get("watch"); watch == "true" || watch == "1" {
		return s, problem.New(http.StatusMethodNotAllowed, "legal holds cannot be watched: list them again")
	}
	given.Del("watch")
	if selectors := given["fieldSelector"]; len(selectors) > 0 {
		given.Del("fieldSelector")
		if err := selected(given, strings.Join(selectors, ",")); err != nil {
			return s, problem.Validation(map[string]string{"fieldSelector": err.Error()}, "unusable fieldSelector: %v", err)
		}
	}
	bad := map[string]string{}
	for parameter, values := range given {
		switch {
		case len(values) != 1:
			bad[parameter] = "may be given once"
		case parameter == paramCorrelationID && values[0] != "":
			s.which.Name = values[0]
		case parameter == paramContinue:
			s.page.Cursor = values[0]
		case parameter == paramLimit:
			if s.page.Limit, err = pageLimit(values[0]); err != nil {
				bad[parameter] = err.Error()
			}
		case parameter == paramReleased:
			if s.released, err = strconv.ParseBool(values[0]); err != nil {
				bad[parameter] = "must be true or false"
			}
		default:
			bad[parameter] = "is not a known parameter with a value"
		}
	}
	if len(bad) > 0 {
		return s, problem.Validation(bad, "unusable parameters: %s", strings.Join(sortedKeys(bad), ", "))
	}
	return s, nil
}

var (
	holdList = listForm[hold.Hold]{
		before: `{"apiVersion":"` + apiVersion + `","kind":"LegalHoldList","items":[`,
		item:   func(h *hold.Hold) any { return newLegalHold(h) },
	}
	holdTable = listForm[hold.Hold]{before: tableStart([]metav1.TableColumnDefinition{
		columnName,
		{Name: "Holds", Type: columnText},
		{Name: "Placed by", Type: columnText},
		{Name: "Placed at", Type: columnText},
		{Name: "Reason", Type: columnText},
		{Name: "Released at", Type: columnText},
		{Name: "Released by", Type: columnText, Priority: 1},
		{Name: "Release reason", Type: columnText, Priority: 1},
	}), item: holdRow}
)

func holdRow(h *hold.Hold) any {
	held, releasedAt := h.CorrelationID, ""
	if held == "" {
		parts := make([]string, 0, len(h.Filter))
		for _, name := range sortedKeys(h.Filter) {
			parts = append(parts, name+"="+h.Filter[name])
		}
		held = strings.Join(parts, ",")
	}
	if h.Unusable {
		held = "all events: the hold is malformed"
	}
	if h.ReleasedAt != nil {
		releasedAt = h.ReleasedAt.UTC().Format(time.RFC3339)
	}
	return metav1.TableRow{
		Cells: []any{
			h.ID.String(), held, h.PlacedBy, h.PlacedAt.Format(time.RFC3339), h.Reason, releasedAt, h.ReleasedBy, h.ReleaseReason,
		},
		Object: rowObject(h.ID, h.PlacedAt),
	}
}
