package httpapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/labstack/echo/v4"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/internal/httpapi/routes"
	"kubernaut.ai/services/datastorage/internal/query"
)

// Listing reads the parameters of listEvents, for another API that lists events
// by the same ones.
type Listing struct {
	checked echo.HandlerFunc
}

// NewListing reads the document.
func NewListing() (*Listing, error) {
	d, err := newDocument()
	if err != nil {
		return nil, err
	}
	wrapper := routes.ServerInterfaceWrapper{Handler: parametersOnly{}}
	return &Listing{checked: checked(d.operations["listEvents"])(wrapper.ListEvents)}, nil
}

// Params returns the parameters of a request, or a problem that names the
// unusable ones.
func (l *Listing) Params(c echo.Context) (query.Params, error) {
	if err := l.checked(c); err != nil {
		return query.Params{}, err
	}
	p, ok := c.Get(paramsKey).(query.Params)
	if !ok {
		return query.Params{}, errors.New("the parameters were not read")
	}
	return p, nil
}

const paramsKey = "query.Params"

// parametersOnly keeps the parameters in the context instead of querying.
type parametersOnly struct{ routes.ServerInterface }

// ListEvents implements routes.ServerInterface.
func (parametersOnly) ListEvents(c echo.Context, p api.ListEventsParams) error {
	c.Set(paramsKey, queryParams(p))
	return nil
}

// Problem turns an error of a query, or of an ingest.Writer, into what the client
// is told.
func Problem(err error) error {
	if problem := new(API).pageProblem(err); problem != nil {
		return problem
	}
	return fmt.Errorf("answer: %w", err)
}

// Pages makes answers within the memory and the connections that all answers
// share, for another API.
type Pages struct{ api *API }

// NewPages makes Pages; c is the configuration of the API to share with.
func NewPages(c Config) *Pages { return &Pages{api: &API{config: c}} }

// Answer sends what build adds to a page, or the problem that is its error.
func (p *Pages) Answer(c echo.Context, build func(ctx context.Context, to *Page) error) error {
	return p.api.page(c, func(ctx context.Context, to *page) error { return build(ctx, &Page{to}) })
}

// Search answers as Answer does, when it is the turn of a query with these parameters.
func (p *Pages) Search(c echo.Context, params query.Params, build func(ctx context.Context, to *Page) error) error {
	return p.api.search(c, params, func(ctx context.Context, to *page) error { return build(ctx, &Page{to}) })
}

// Page is an answer's JSON. It is sent when it is complete.
type Page struct{ page *page }

// Text adds JSON text.
func (p *Page) Text(ctx context.Context, text string) error { return p.page.add(ctx, []byte(text)) }

// JSON adds a value that costs so many bytes while it is encoded; see Cost.
func (p *Page) JSON(ctx context.Context, value any, cost int64) error {
	return p.page.addJSON(ctx, value, cost)
}

// Event returns a stored event in its wire form.
func (p *Page) Event(stored *query.Stored) api.StoredEvent {
	return wireEvent(stored, p.page.story.of(stored))
}

// Cost is what an event costs while it is encoded, in bytes.
func Cost(stored *query.Stored) int64 { return rowFactor * int64(len(stored.Data)) }
