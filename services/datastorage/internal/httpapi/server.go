package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/acknowledgement"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/eventschema"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/httpapi/routes"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/producer"
	"kubernaut.ai/services/datastorage/internal/query"
)

// retryAfter is what clients are told to wait while something passes.
const retryAfter = 1 * time.Second

// Config is what the API is made of.
type Config struct {
	Decoder *event.Decoder
	Writer  *ingest.Writer
	Finder  *query.Finder
	// Acknowledgements that people made.
	Acknowledgements *acknowledgement.Store
	// Holds that people placed.
	Holds *hold.Store
	// Erasures that people asked for.
	Erasures *erasure.Store
	Auth     *auth.Gate
	// Schemas are those that events are checked against.
	Schemas *eventschema.Source
	// Producers tells whose producers events under audit. speak about.
	Producers *producer.Owners
	// Accesses gets who read what.
	Accesses *accesslog.Log
	Observer Observer
	Log      *zap.Logger
	Clock    clock.PassiveClock
	// Ready is the answer of /health/ready on the API port, for older clients.
	Ready func(r *http.Request) error
	// BodyBytes bounds a request's body, before and after decompression, BodyEvents
	// the events in it.
	BodyBytes, BodyEvents int
	// BodyMemory is for bodies and their events, until the events are stored, and
	// PageMemory for answers. One request needs PeakBodyBytes and PeakPageBytes of
	// them at most.
	BodyMemory, PageMemory *memory.Budget
	// Queries are the connections to the database that queries may use, so that
	// callers share them as they share memory.
	Queries *memory.Budget
	// QueryWait bounds the wait for one of them; QueryRefused is called for each
	// query that waited in vain.
	QueryWait    time.Duration
	QueryRefused func()
	// Trace makes a span of each request; none if it is nil.
	Trace echo.MiddlewareFunc
}

// Observer is told what the API does; it must be safe for concurrent use.
type Observer interface {
	// Ingested is called for each request that brings events, with the status of
	// its answer and how many of its events were created, duplicates and refused.
	Ingested(status, created, duplicates int, refused map[event.Code]int)
	// Misdated is called for each request that had events created whose time is far
	// ahead of their receipt, or whose id's time lies far from it.
	Misdated(recorder string, skewed, strays int)
	// Queried is called for each query, with its kind and the status of its answer.
	Queried(kind string, status int, took time.Duration)
}

// API implements routes.ServerInterface.
type API struct {
	config   Config
	bodies   *bodies
	document []byte
}

var _ routes.ServerInterface = (*API)(nil)

// New makes the handler of the API port.
func New(c Config) (http.Handler, error) {
	document, err := newDocument()
	if err != nil {
		return nil, err
	}
	reader, err := newBodies(c.BodyBytes, c.BodyEvents, c.BodyMemory)
	if err != nil {
		return nil, err
	}
	api := &API{config: c, bodies: reader, document: document.json}
	e := echo.New()
	e.HTTPErrorHandler = problem.ErrorHandler(c.Log)
	if c.Trace != nil {
		e.Use(c.Trace)
	}
	e.Use(httpserver.RequestID(uuid.NewString), recovered)
	before, err := middlewares(document.operations, c.Auth)
	if err != nil {
		return nil, err
	}
	routes.RegisterHandlersWithOptions(e, api, routes.RegisterHandlersOptions{OperationMiddlewares: before})
	e.GET("/health", api.alive)
	e.GET("/health/live", api.alive)
	e.GET("/health/ready", api.ready)
	return e, nil
}

// recovered turns a panic into a 500, so that one request cannot take the others along.
func recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch r := recover(); r {
			case nil:
			case http.ErrAbortHandler:
				panic(r)
			default:
				err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			}
		}()
		return next(c)
	}
}

// mayBeEmpty is the parameter whose empty value means something.
const mayBeEmpty = "detail_value"

// checked refuses parameters that the document does not name, or that are
// empty: a mistyped or forgotten filter must not widen an answer.
func checked(known parameters) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := checkedQuery(c.Request().URL.RawQuery, known); err != nil {
				return err
			}
			for _, value := range c.ParamValues() {
				// The router lets the last parameter of a path run over slashes.
				if strings.Contains(value, "/") {
					return echo.ErrNotFound
				}
			}
			err := next(c)
			var h *echo.HTTPError
			if errors.As(err, &h) && h.Code == http.StatusBadRequest {
				return unusableParameter(h, known)
			}
			return err
		}
	}
}

func checkedQuery(query string, known parameters) error {
	// Not echo's QueryParams, which leaves out what it cannot read.
	given, err := url.ParseQuery(query)
	if err != nil {
		return problem.Validation(nil, "the query is not readable: %v", err)
	}
	bad := map[string]string{}
	for name, values := range given {
		if p, ok := known[name]; !ok || !p.query {
			bad[name] = "is not a known parameter"
		} else if slices.Contains(values, "") && name != mayBeEmpty {
			bad[name] = "must not be empty: leave it out, or give a value"
		}
	}
	if len(bad) > 0 {
		return badParameters(bad)
	}
	return nil
}

// badParameters says what is wrong with each parameter.
func badParameters(fields map[string]string) error {
	reasons := make([]string, 0, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		reasons = append(reasons, wire.Quotable(name)+" "+fields[name])
	}
	return problem.Validation(fields, "unusable parameters (see /openapi.json): %s", strings.Join(reasons, "; "))
}

// unusableParameter says it in the document's words where the generated code
// could not read a parameter.
func unusableParameter(h *echo.HTTPError, known parameters) error {
	rest, ok := strings.CutPrefix(fmt.Sprint(h.Message), "Invalid format for parameter ")
	name, _, cut := strings.Cut(rest, ":")
	if p, found := known[name]; ok && cut && found {
		return badParameters(map[string]string{name: p.want})
	}
	return h
}

// GetOpenAPI implements routes.ServerInterface.
func (a *API) GetOpenAPI(c echo.Context) error {
	return answerText(c, http.StatusOK, a.document)
}

func (a *API) alive(c echo.Context) error {
	return answer(c, http.StatusOK, map[string]string{"status": "ok"})
}

func (a *API) ready(c echo.Context) error {
	if err := a.config.Ready(c.Request()); err != nil {
		return problem.Unavailable(retryAfter, err, "not ready: the database is not reachable or its schema is not current")
	}
	return answer(c, http.StatusOK, map[string]string{"status": "ready"})
}

// answerText writes JSON that was encoded.
func answerText(c echo.Context, status int, text []byte) error {
	if err := c.JSONBlob(status, text); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

func answer(c echo.Context, status int, body any) error {
	if err := c.JSON(status, body); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
