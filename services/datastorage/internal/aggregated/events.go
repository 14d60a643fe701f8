package aggregated

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"

	wire "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/query"
)

// The kinds of queries, for their metrics.
const (
	kindList     = "people_list"
	kindGet      = "people_get"
	kindTrail    = "people_trail"
	kindHolds    = "people_holds"
	kindErasures = "people_erasures"
	kindPreview  = "people_preview"
)

// Event is an audit event as an object. Its name is the event's id.
type Event struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta `json:"metadata"`
	Event    wire.StoredEvent  `json:"event"`
}

func newEvent(to *httpapi.Page, stored *query.Stored) any {
	return Event{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: "Event"},
		Metadata: objectMeta(stored.ID.String(), stored.ReceivedAt),
		Event:    to.Event(stored),
	}
}

func objectMeta(id string, created time.Time) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: id, UID: types.UID(id), CreationTimestamp: metav1.NewTime(created)}
}

func (a *api) list(c echo.Context) error {
	return a.observed(kindList, func(c echo.Context, asked *accesslog.Read) error {
		if err := translate(c.Request().URL); err != nil {
			return err
		}
		params, err := a.listing.Params(c)
		if err != nil {
			return err //nolint:wrapcheck // a problem
		}
		asked.Filters = httpapi.Filters(params.Filters())
		return a.config.Pages.Search(c, params, func(ctx context.Context, to *httpapi.Page) error {
			form := eventList
			if wantsTable(c) {
				form = eventTable
			}
			return a.write(ctx, to, form, params, func(page *query.Page) error {
				asked.Events = page.Events
				return nil
			})
		})
	}, c)
}

func (a *api) get(c echo.Context) error {
	return a.observed(kindGet, func(c echo.Context, asked *accesslog.Read) error {
		if err := onlyIgnored(c.Request().URL); err != nil {
			return err
		}
		id, err := objectID(c, "event")
		if err != nil {
			return err
		}
		asked.Filters = []accesslog.Filter{{Name: "event_id", Value: id.String()}}
		return a.config.Pages.Answer(c, func(ctx context.Context, to *httpapi.Page) error {
			stored, err := a.config.Finder.Get(ctx, id)
			switch {
			case errors.Is(err, query.ErrNotFound):
				return problem.New(http.StatusNotFound, "there is no event %s", id)
			case err != nil:
				return err //nolint:wrapcheck // explained by the page
			}
			asked.Events = 1
			if wantsTable(c) {
				return errors.Join(
					to.Text(ctx, eventTable.before),
					to.JSON(ctx, eventTable.item(to, &stored), 0),
					to.Text(ctx, `],"metadata":{}}`),
				)
			}
			return to.JSON(ctx, newEvent(to, &stored), httpapi.Cost(&stored))
		})
	}, c)
}

// trail answers with the events of a correlation id, oldest first, and with the
// parameter of the next request where the trail goes on.
func (a *api) trail(c echo.Context) error {
	return a.observed(kindTrail, func(c echo.Context, asked *accesslog.Read) error {
		id, err := name(c)
		if err != nil {
			return err
		}
		if err := onlyIgnored(c.Request().URL, "continue"); err != nil {
			return err
		}
		asked.Filters = []accesslog.Filter{{Name: "correlation_id", Value: id}}
		limit := query.MaxLimit
		params := query.Params{CorrelationID: id, Order: string(query.Ascending), Limit: &limit, Cursor: c.QueryParam("continue")}
		return a.config.Pages.Answer(c, func(ctx context.Context, to *httpapi.Page) error {
			form := trailOf
			if wantsTable(c) {
				form = eventTable
			}
			return a.write(ctx, to, form, params, func(page *query.Page) error {
				if asked.Events = page.Events; page.Events == 0 && params.Cursor == "" {
					return problem.New(http.StatusNotFound, "no event has correlation id %q", id)
				}
				return nil
			})
		})
	}, c)
}

// form is how a page of events is written.
type form struct {
	// before the first item.
	before string
	item   func(to *httpapi.Page, stored *query.Stored) any
	// all: the items have all of an event.
	all bool
	// metadata of the page, behind the items.
	metadata func(params query.Params, page *query.Page) any
}

// listMeta also says how far a search came, as pagination.scanned_until does.
func listMeta(_ query.Params, page *query.Page) any {
	return struct {
		metav1.ListMeta `json:",inline"`

		ScannedUntil *time.Time `json:"scannedUntil,omitempty"`
	}{metav1.ListMeta{Continue: page.NextCursor}, page.ScannedUntil}
}

var (
	eventList = form{
		before:   `{"apiVersion":"` + apiVersion + `","kind":"EventList","items":[`,
		item:     newEvent,
		all:      true,
		metadata: listMeta,
	}
	trailOf = form{
		before: `{"apiVersion":"` + apiVersion + `","kind":"Trail","events":[`,
		item:   func(to *httpapi.Page, s *query.Stored) any { return to.Event(s) },
		all:    true,
		// A trail is an object, whose name is the correlation id, and a page like a list.
		metadata: func(params query.Params, page *query.Page) any {
			return struct {
				Name     string `json:"name"`
				Continue string `json:"continue,omitempty"`
			}{params.CorrelationID, page.NextCursor}
		},
	}
)

// write adds the events of a query. The function check looks at what was found.
func (a *api) write(ctx context.Context, to *httpapi.Page, f form, params query.Params, check func(*query.Page) error) error {
	if err := to.Text(ctx, f.before); err != nil {
		return err //nolint:wrapcheck // explained by the page
	}
	separator := ""
	page, err := a.config.Finder.Find(ctx, params, func(s *query.Stored) error {
		cost := int64(0)
		if f.all {
			cost = httpapi.Cost(s)
		}
		if err := to.Text(ctx, separator); err != nil {
			return err //nolint:wrapcheck // explained by the page
		}
		separator = ","
		return to.JSON(ctx, f.item(to, s), cost)
	})
	if err == nil {
		err = check(page)
	}
	if err == nil {
		err = to.Text(ctx, `],"metadata":`)
	}
	if err == nil {
		err = to.JSON(ctx, f.metadata(params, page), 0)
	}
	if err == nil {
		err = to.Text(ctx, "}")
	}
	return err //nolint:wrapcheck // explained by the page
}

// ignored are parameters of Kubernetes that change nothing here.
var ignored = []string{"pretty", "timeout", "timeoutSeconds", "includeObject", "resourceVersion", "resourceVersionMatch"}

// translate turns the parameters of a Kubernetes list into those of listEvents.
func translate(u *url.URL) error {
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return problem.Validation(nil, "the query is not readable: %v", err)
	}
	for _, parameter := range ignored {
		given.Del(parameter)
	}
	if given.Get("limit") == "0" { // Kubernetes' for none
		given.Del("limit")
	}
	if token, found := given["continue"]; found {
		given.Del("continue")
		if len(token) != 1 || given.Has("cursor") {
			return problem.Validation(nil, "continue and cursor are the same, and may be given once")
		}
		given.Set("cursor", token[0])
	}
	if watch := given.Get("watch"); watch == "true" || watch == "1" {
		return problem.New(http.StatusMethodNotAllowed, "events cannot be watched here: list them again")
	}
	given.Del("watch")
	if selectors := given["fieldSelector"]; len(selectors) > 0 {
		given.Del("fieldSelector")
		if err := selected(given, strings.Join(selectors, ",")); err != nil {
			return problem.Validation(map[string]string{"fieldSelector": err.Error()}, "unusable fieldSelector: %v", err)
		}
	}
	u.RawQuery = given.Encode()
	return nil
}

// selected adds a field selector, whose fields are filters of listEvents.
func selected(to url.Values, selector string) error {
	parsed, err := fields.ParseSelector(selector)
	if err != nil {
		return err //nolint:wrapcheck // says all there is
	}
	for _, r := range parsed.Requirements() {
		if r.Operator != selection.Equals && r.Operator != selection.DoubleEquals {
			return fmt.Errorf("%s: only = can be asked for", r.Field)
		}
		if to.Has(r.Field) {
			return fmt.Errorf("%s is given twice", r.Field)
		}
		to.Set(r.Field, r.Value)
	}
	return nil
}

// onlyIgnored rejects parameters that would have no effect, except for allowed ones.
func onlyIgnored(u *url.URL, allowed ...string) error {
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return problem.Validation(nil, "the query is not readable: %v", err)
	}
	bad := map[string]string{}
	for parameter := range given {
		if !slices.Contains(ignored, parameter) && !slices.Contains(allowed, parameter) {
			bad[parameter] = "is not a known parameter"
		}
	}
	if len(bad) > 0 {
		return problem.Validation(bad, "unknown parameters: %s", strings.Join(sortedKeys(bad), ", "))
	}
	return nil
}

func sortedKeys[M ~map[string]string](m M) []string { return slices.Sorted(maps.Keys(m)) }

func unescape(text string) (string, error) {
	plain, err := url.PathUnescape(text)
	if err != nil {
		return "", problem.Validation(nil, "the path is not readable: %v", err)
	}
	return plain, nil
}
