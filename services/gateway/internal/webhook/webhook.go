package webhook

import (
	"context"
	"fmt"
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
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/services/gateway/internal/admission"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/duplicates"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/target"
)

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
	// OverflowOf returns the open overflow request that lists a problem, or that may
	// count it among those that it does not list, or nil.
	OverflowOf(ctx context.Context, spec *v1alpha1.RemediationRequestSpec) (*v1alpha1.RemediationRequest, error)
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
	// Limits of a body.
	Limits body.Limits
	// BodyMemory is for the bodies of all requests together, of at least Limits.Cost.
	BodyMemory *memory.Budget
	// MaxConcurrent bounds the notifications that are processed concurrently; any
	// more are rejected with 503. Senders share it as they share memory.
	MaxConcurrent int
	// Timeout bounds the time to process one notification; a large one has more.
	Timeout time.Duration
	// NewID generates request ids and correlation ids.
	NewID      func() string
	Clock      clock.PassiveClock
	Log        *zap.Logger
	Registerer prometheus.Registerer
	// Trace makes a span of each request; none if it is nil.
	Trace echo.MiddlewareFunc
}

// api is the handler of the API.
type api struct {
	Options

	metrics    *metrics
	places     *memory.Budget      // of the notifications that are processed, which senders share
	working    *semaphore.Weighted // memory for the signals that are processed
	denials    *admission.Tracker
	deliveries *deliveries
}

// New makes the API.
func New(o Options) (*Server, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	denials, err := admission.NewTracker(o.Clock, o.Registerer)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	a := &api{
		Options: o, denials: denials, deliveries: newDeliveries(), metrics: m,
		places: memory.NewBudget(int64(o.MaxConcurrent)), working: semaphore.NewWeighted(WorkingMemory),
	}
	e := echo.New()
	e.HideBanner = true
	e.HTTPErrorHandler = problem.ErrorHandler(o.Log)
	e.IPExtractor = echo.ExtractIPDirect()
	if o.Trace != nil {
		e.Use(o.Trace)
	}
	e.Use(
		httpserver.RequestID(o.NewID),
		a.correlate,
		a.measure,
		middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: a.recovered}),
	)
	if err := a.route(e); err != nil {
		return nil, err
	}
	return &Server{Handler: e, api: a}, nil
}

// route registers the routes. Callers have to be known; where each of them may
// report is checked for each signal.
func (a *api) route(e *echo.Echo) error {
	for _, adapter := range adapters() {
		known, err := a.Auth.Authenticated()
		if err != nil {
			return fmt.Errorf("route %s: %w", adapter.Path, err)
		}
		e.POST(adapter.Path, a.receive(adapter), known)
	}
	return nil
}

// headerCorrelationID names the trail of what belongs to no remediation request.
const headerCorrelationID = "X-Correlation-ID"

// correlate chooses the correlation id of what is recorded about the delivery
// itself. It is not the client's X-Request-ID: that would let any sender write
// into any trail.
func (a *api) correlate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set(headerCorrelationID, a.correlationID())
		return next(c)
	}
}

func (a *api) correlationID() string { return "gw-" + a.NewID() }

// measure counts the responses. It writes errors itself, so that it sees their status.
func (a *api) measure(next echo.HandlerFunc) echo.HandlerFunc {
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
func (a *api) recovered(c echo.Context, err error, stack []byte) error {
	a.Log.Error("panic while processing a request", zap.String("path", c.Path()), zap.Error(err), zap.ByteString("stack", stack))
	return err
}

// address returns the client's IP address without the zone of a link-local
// one, which means nothing to other hosts and is not valid in an event.
func address(c echo.Context) string {
	ip, _, _ := strings.Cut(c.RealIP(), "%")
	return ip
}

// trail returns the audit trail of a request.
func (a *api) trail(c echo.Context, source string) *auditevents.Trail {
	return auditevents.New(a.Recorder, auditevents.Origin{
		CorrelationID: c.Response().Header().Get(headerCorrelationID),
		RequestID:     c.Response().Header().Get(echo.HeaderXRequestID),
		Caller:        auth.CallerFrom(c.Request().Context()).Name,
		Address:       address(c),
		Source:        source,
		Cluster:       a.Cluster,
	})
}
