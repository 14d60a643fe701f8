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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/occurrence"
)

// PathPrometheus takes Alertmanager's webhook.
const PathPrometheus = "/api/v1/signals/prometheus"

const (
	retryOverload = time.Second
	retryFailure  = 5 * time.Second
)

// Opener opens the request of a firing signal and finds that of a resolved one.
type Opener interface {
	Open(ctx context.Context, s dedup.Signal, t dedup.Trail) (dedup.Result, error)
	Current(ctx context.Context, spec *v1alpha1.RemediationRequestSpec) (types.NamespacedName, error)
}

// Owners finds the top owner of a target.
type Owners interface {
	Top(ctx context.Context, target v1alpha1.TargetResource) (v1alpha1.TargetResource, error)
}

// Counter counts the signals of a request.
type Counter interface {
	Add(ctx context.Context, r occurrence.Request, duplicates int64, seen time.Time) error
}

// Options of the API; all fields are required unless they say otherwise.
type Options struct {
	Opener   Opener
	Owners   Owners
	Counter  Counter
	Recorder auditevents.Recorder
	Auth     *auth.Gate
	// Cluster that the Gateway works for; may be empty.
	Cluster string
	// MaxBodyBytes is the size of the largest body.
	MaxBodyBytes int64
	// MaxConcurrent is how many requests are worked on at a time; one more is answered 503.
	MaxConcurrent int
	// Timeout bounds the work on one request.
	Timeout time.Duration
	// NewID makes the id of a request that brings none.
	NewID      func() string
	Clock      clock.PassiveClock
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// intake is the API.
type intake struct {
	Options

	metrics *metrics
	places  chan struct{} // one element for each request that is worked on
}

// New makes the handler of the API.
func New(o Options) (http.Handler, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	i := &intake{Options: o, metrics: m, places: make(chan struct{}, o.MaxConcurrent)}
	e := echo.New()
	e.HideBanner = true
	e.HTTPErrorHandler = problem.ErrorHandler(o.Log)
	e.IPExtractor = echo.ExtractIPDirect()
	e.Use(
		i.identify,
		i.measure,
		middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: i.recovered}),
	)
	if err := i.route(e); err != nil {
		return nil, err
	}
	return e, nil
}

// createSignals is what senders need the permission for.
var createSignals = auth.Action{Group: "gateway.kubernaut.ai", Resource: "signals", Verb: "create", Role: "signal-sender"}

// route registers the routes; one that names no action is an error.
func (i *intake) route(e *echo.Echo) error {
	for _, route := range []struct {
		path    string
		action  auth.Action
		handler echo.HandlerFunc
	}{
		{PathPrometheus, createSignals, i.alertmanager},
	} {
		permitted, err := i.Auth.Permit(route.action)
		if err != nil {
			return fmt.Errorf("route %s: %w", route.path, err)
		}
		e.POST(route.path, route.handler, permitted, i.limit)
	}
	return nil
}

// identify gives the request its id, which is the correlation id of what is
// recorded about the request itself.
func (i *intake) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !usableID(id) {
			id = i.NewID()
		}
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

const maxRequestID = 128

func usableID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// measure counts the answers. It writes errors itself, so that it sees their status.
func (i *intake) measure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := i.Clock.Now()
		if err := next(c); err != nil {
			c.Error(err)
		}
		i.metrics.answered(c.Path(), c.Response().Status, i.Clock.Since(start))
		return nil
	}
}

// recovered turns a panic into an error: the log has its stack, the client its request id.
func (i *intake) recovered(c echo.Context, err error, stack []byte) error {
	i.Log.Error("panic in a request", zap.String("path", c.Path()), zap.Error(err), zap.ByteString("stack", stack))
	return err
}

// limit bounds the requests under way and the time that one may take.
func (i *intake) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		select {
		case i.places <- struct{}{}:
			defer func() { <-i.places }()
		default:
			return problem.Unavailable(retryOverload, nil, "too many requests are under way; send it again")
		}
		i.metrics.inFlight.Inc()
		defer i.metrics.inFlight.Dec()
		ctx, cancel := context.WithTimeout(c.Request().Context(), i.Timeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// address is the client's IP address. The zone of a link-local one means
// nothing to others, and the trail does not take it.
func address(c echo.Context) string {
	ip, _, _ := strings.Cut(c.RealIP(), "%")
	return ip
}

// trail makes the audit trail of a request.
func (i *intake) trail(c echo.Context, source string) *auditevents.Trail {
	return auditevents.New(i.Recorder, auditevents.Origin{
		RequestID: c.Response().Header().Get(echo.HeaderXRequestID),
		Caller:    auth.CallerFrom(c.Request().Context()).Name,
		Address:   address(c),
		Source:    source,
		Cluster:   i.Cluster,
	})
}
