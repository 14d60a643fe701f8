package aggregated

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/acknowledgement"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/query"
)

// Group and Version of the API.
const (
	Group   = "audit.kubernaut.ai"
	Version = "v1"

	apiVersion = Group + "/" + Version
	root       = "/apis/" + apiVersion
)

// The resources of the API.
const (
	events           = "events"
	trails           = "trails"
	acknowledgements = "acknowledgements"
	legalHolds       = "legalholds"
	erasures         = "erasures"
	erasurePreviews  = "erasurepreviews"
)

// The ClusterRoles of the deployment.
const (
	reader       = "kubernaut-audit-reader"
	acknowledger = "kubernaut-audit-acknowledger"
	holder       = "kubernaut-audit-legal-holder"
	eraser       = "kubernaut-audit-eraser"
)

// Config is what the API is made of.
type Config struct {
	Finder           *query.Finder
	Acknowledgements *acknowledgement.Store
	Holds            *hold.Store
	Erasures         *erasure.Store
	// Auth knows the people whose requests the API server forwards.
	Auth *auth.Gate
	// Accesses gets who read what.
	Accesses *accesslog.Log
	Observer Observer
	Log      *zap.Logger
	Clock    clock.PassiveClock
	// Pages makes answers.
	Pages *httpapi.Pages
	// Trace makes a span of each request; none if it is nil.
	Trace echo.MiddlewareFunc
}

// Observer is told what the API does; it must be safe for concurrent use.
type Observer interface {
	// Queried is called for each query, with its kind and the status of its answer.
	Queried(kind string, status int, took time.Duration)
}

// Call is an operation of the API on a resource.
type Call struct {
	Method, Path string
	Action       auth.Action
}

type api struct {
	config  Config
	listing *httpapi.Listing
}

// operation is a Call with its handler.
type operation struct {
	Call

	handle echo.HandlerFunc
}

func (a *api) operations() []operation {
	call := func(method, path, resource, verb, role string, handle echo.HandlerFunc) operation {
		return operation{Call{method, root + path, auth.Action{Group: Group, Resource: resource, Verb: verb, Role: role}}, handle}
	}
	return []operation{
		call(http.MethodGet, "/events", events, "list", reader, a.list),
		call(http.MethodGet, "/events/:name", events, "get", reader, a.get),
		call(http.MethodGet, "/trails/:name", trails, "get", reader, a.trail),
		call(http.MethodPost, "/acknowledgements", acknowledgements, "create", acknowledger, a.acknowledge),
		call(http.MethodGet, "/acknowledgements/:name", acknowledgements, "get", reader, a.acknowledged),
		call(http.MethodPost, "/legalholds", legalHolds, "create", holder, a.placeHold),
		call(http.MethodGet, "/legalholds", legalHolds, "list", holder, a.listHolds),
		call(http.MethodGet, "/legalholds/:name", legalHolds, "get", holder, a.getHold),
		call(http.MethodDelete, "/legalholds/:name", legalHolds, "delete", holder, a.releaseHold),
		call(http.MethodPost, "/erasures", erasures, "create", eraser, a.requestErasure),
		call(http.MethodGet, "/erasures", erasures, "list", eraser, a.listErasures),
		call(http.MethodGet, "/erasures/:name", erasures, "get", eraser, a.getErasure),
		call(http.MethodPost, "/erasurepreviews", erasurePreviews, "create", eraser, a.previewErasure),
	}
}

// Calls returns all operations on resources, in the order of their paths.
func Calls() []Call {
	operations := new(api).operations()
	calls := make([]Call, 0, len(operations))
	for _, o := range operations {
		calls = append(calls, o.Call)
	}
	slices.SortFunc(calls, func(a, b Call) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return calls
}

// New makes the handler.
func New(c Config) (http.Handler, error) {
	listing, err := httpapi.NewListing()
	if err != nil {
		return nil, fmt.Errorf("aggregated API: %w", err)
	}
	a := &api{config: c, listing: listing}
	e := echo.New()
	e.HTTPErrorHandler = problem.Handler(c.Log, writeStatus)
	if c.Trace != nil {
		e.Use(c.Trace)
	}
	e.Use(httpserver.RequestID(uuid.NewString), middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true, DisableErrorHandler: true}))
	for _, o := range a.operations() {
		permitted, err := c.Auth.Permit(o.Action)
		if err != nil {
			return nil, fmt.Errorf("aggregated API: %s %s: %w", o.Method, o.Path, err)
		}
		e.Add(o.Method, o.Path, o.handle, permitted)
	}
	// These show nothing that is stored.
	authenticated, err := c.Auth.Authenticated()
	if err != nil {
		return nil, fmt.Errorf("aggregated API: %w", err)
	}
	documents, err := documents()
	if err != nil {
		return nil, err
	}
	for path, document := range documents {
		e.GET(path, func(c echo.Context) error { return c.JSONBlob(http.StatusOK, document) }, authenticated)
	}
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		e.GET(path, func(c echo.Context) error { return c.String(http.StatusOK, "ok") }, authenticated)
	}
	return e, nil
}

// name returns the name of the object in the path.
func name(c echo.Context) (string, error) {
	name := c.Param("name")
	if c.Request().URL.RawPath != "" {
		var err error
		if name, err = unescape(name); err != nil {
			return "", err
		}
	}
	if strings.Contains(name, "/") {
		return "", echo.ErrNotFound
	}
	return name, nil
}

// objectID returns the id that the object in the path has as its name.
func objectID(c echo.Context, what string) (uuid.UUID, error) {
	text, err := name(c)
	if err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.Parse(text)
	if err != nil || id == uuid.Nil { // nothing has the zero UUID, which stands for "any" elsewhere
		return uuid.Nil, problem.New(http.StatusNotFound, "there is no %s %q: its name is a UUID", what, text)
	}
	return id, nil
}

// observed reports a query to the observer, and what handle notes of it to the log of accesses.
func (a *api) observed(kind string, handle func(c echo.Context, asked *accesslog.Read) error, c echo.Context) error {
	start := a.config.Clock.Now()
	asked := accesslog.Read{Caller: auth.CallerFrom(c.Request().Context()), Kind: kind}
	err := handle(c, &asked)
	status := c.Response().Status
	if err != nil {
		status = problem.Status(err)
	}
	a.config.Observer.Queried(kind, status, a.config.Clock.Since(start))
	a.config.Accesses.Answered(status, &asked)
	return err
}

// writeStatus writes a problem in Kubernetes' form, which kubectl and client-go understand.
func writeStatus(p *problem.Error, w http.ResponseWriter) error {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(p.Status), Message: p.Detail, Reason: reasons[p.Status], //nolint:gosec // an HTTP status
	}
	details := metav1.StatusDetails{Group: Group, RetryAfterSeconds: int32((p.RetryAfter + time.Second - 1) / time.Second)} //nolint:gosec // seconds
	for _, field := range sortedKeys(p.FieldErrors) {
		details.Causes = append(details.Causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: field, Message: p.FieldErrors[field]})
	}
	status.Details = &details
	w.Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	if details.RetryAfterSeconds > 0 {
		w.Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(details.RetryAfterSeconds)))
	}
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(&status); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}

var reasons = map[int]metav1.StatusReason{
	http.StatusBadRequest:            metav1.StatusReasonBadRequest,
	http.StatusUnauthorized:          metav1.StatusReasonUnauthorized,
	http.StatusForbidden:             metav1.StatusReasonForbidden,
	http.StatusNotFound:              metav1.StatusReasonNotFound,
	http.StatusConflict:              metav1.StatusReasonConflict,
	http.StatusMethodNotAllowed:      metav1.StatusReasonMethodNotAllowed,
	http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge,
	http.StatusUnsupportedMediaType:  metav1.StatusReasonUnsupportedMediaType,
	http.StatusServiceUnavailable:    metav1.StatusReasonServiceUnavailable,
	http.StatusInternalServerError:   metav1.StatusReasonInternalError,
}
