package webhook

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"k8s.io/utils/clock"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/gateway/internal/admission"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/duplicates"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/target"
)

// PathPrometheus is the path of Alertmanager's webhook.
const PathPrometheus = "/api/v1/signals/prometheus"

const (
	retryOverload = time.Second
	retryFailure  = 5 * time.Second
)

// Opener opens the request of a firing signal and finds the request of a resolved one.
type Opener interface {
	Open(ctx context.Context, s dedup.Signal, t dedup.Trail) (dedup.Result, error)
	Current(ctx context.Context, spec *v1alpha1.RemediationRequestSpec) (dedup.Found, error)
	// Membership returns the open overflow request that lists a problem, or nil.
	Membership(ctx context.Context, fingerprint string) (*v1alpha1.RemediationRequest, error)
}

// Targets finds out which object a signal is about.
type Targets interface {
	Resolve(ctx context.Context, s target.Signal) (target.Resolution, error)
}

// Counter writes what signals say about existing requests to their status.
type Counter interface {
	// Change returns what a signal changes in a request, which it leaves as it is.
	Change(request *v1alpha1.RemediationRequest, r occurrence.Report) occurrence.Change
	// Apply returns once a change is written, and Count at once.
	Apply(ctx context.Context, request occurrence.Request, r occurrence.Report) error
	Count(ctx context.Context, request occurrence.Request, r occurrence.Report) error
}

// Duplicates takes duplicates that are recorded together; false means that the
// caller records this one by itself.
type Duplicates interface {
	Take(d duplicates.Duplicate) bool
}

// Options of the API. All fields are required unless stated otherwise.
type Options struct {
	Opener     Opener
	Targets    Targets
	Counter    Counter
	Duplicates Duplicates
	Recorder   auditevents.Recorder
	Auth       *auth.Gate
	// Heartbeats tells heartbeats from problems.
	Heartbeats Heartbeats
	// Cluster is the name of the Gateway's cluster; may be empty.
	Cluster string
	// MaxBodyBytes bounds the size of a body.
	MaxBodyBytes int64
	// MaxConcurrent bounds the requests in flight; any more are rejected with 503.
	MaxConcurrent int
	// Timeout bounds the time to process one request.
	Timeout time.Duration
	// NewID generates the id of a request that has none.
	NewID      func() string
	Clock      clock.PassiveClock
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// API is the Gateway's API.
type API struct {
	Options

	handler    http.Handler
	metrics    *metrics
	inFlight   *semaphore.Weighted
	denials    *admission.Tracker
	deliveries *deliveries
}

// New makes the API and registers its metrics.
func New(o Options) (*API, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	denials, err := admission.NewTracker(o.Clock, o.Registerer)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	a := &API{
		Options: o, metrics: m, inFlight: semaphore.NewWeighted(int64(o.MaxConcurrent)), denials: denials, deliveries: newDeliveries(),
	}
	e := echo.New()
	e.HideBanner = true
	e.HTTPErrorHandler = problem.ErrorHandler(o.Log)
	e.IPExtractor = echo.ExtractIPDirect()
	e.Use(
		httpserver.RequestID(o.NewID), // also the correlation id of what is recorded about the request itself
		a.measure,
		middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: a.recovered}),
	)
	if err := a.route(e); err != nil {
		return nil, err
	}
	a.handler = e
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// route registers the routes. All known callers may send signals; whether they
// may report on its target is decided for each signal.
func (a *API) route(e *echo.Echo) error {
	for path, handler := range map[string]echo.HandlerFunc{
		PathPrometheus: a.handleAlertmanager,
	} {
		known, err := a.Auth.Authenticated()
		if err != nil {
			return fmt.Errorf("route %s: %w", path, err)
		}
		e.POST(path, handler, known, a.limit)
	}
	return nil
}

// measure counts the responses. It writes errors itself, so that it sees their status.
func (a *API) measure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := a.Clock.Now()
		if err := next(c); err != nil {
			c.Error(err)
		}
		a.metrics.responded(c.Path(), c.Response().Status, a.Clock.Since(start))
		return nil
	}
}

// recovered logs a panic with its stack; the client gets an error with the request id.
func (a *API) recovered(c echo.Context, err error, stack []byte) error {
	a.Log.Error("panic while processing a request", zap.String("path", c.Path()), zap.Error(err), zap.ByteString("stack", stack))
	return err
}

// limit bounds the requests in flight and the time that each may take.
func (a *API) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !a.inFlight.TryAcquire(1) {
			return problem.Unavailable(retryOverload, nil, "too many requests in flight; try again")
		}
		defer a.inFlight.Release(1)
		a.metrics.inFlight.Inc()
		defer a.metrics.inFlight.Dec()
		ctx, cancel := context.WithTimeout(c.Request().Context(), a.Timeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// address returns the client's IP address without the zone of a link-local
// one, which means nothing to other hosts and is not valid in an event.
func address(c echo.Context) string {
	ip, _, _ := strings.Cut(c.RealIP(), "%")
	return ip
}

// trail returns the audit trail of a request.
func (a *API) trail(c echo.Context, source string) *auditevents.Trail {
	return auditevents.New(a.Recorder, auditevents.Origin{
		RequestID:     c.Response().Header().Get(echo.HeaderXRequestID),
		CorrelationID: c.Response().Header().Get(echo.HeaderXRequestID),
		Caller:        auth.CallerFrom(c.Request().Context()).Name,
		Address:       address(c),
		Source:        source,
		Cluster:       a.Cluster,
	})
}
