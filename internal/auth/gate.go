package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/httpserver/problem"
)

// retryAfter is what clients are told to wait while nobody can be checked.
const retryAfter = time.Second

// labelResult is the label of results.
const labelResult = "result"

// The results of auth_requests_total.
const (
	resultAllowed         = "allowed"
	resultUnauthenticated = "unauthenticated"
	resultForbidden       = "forbidden"
	resultUnavailable     = "unavailable"
)

// Gate lets the requests pass that its guard permits. It is a
// prometheus.Collector of:
//
//	auth_requests_total{result}          allowed, unauthenticated, forbidden, unavailable
//	auth_review_seconds{review,result}   what the API server was asked (token, access), for Kubernetes
//
// and of what a TokenFile exports. Services register it with their prefix.
type Gate struct {
	guard    Guard
	log      *zap.Logger
	refused  *refusals
	requests *prometheus.CounterVec
	allowed  prometheus.Counter // one of requests
	denied   func(*Denial)      // may be nil
}

// GateOption is an option of NewGate.
type GateOption func(*Gate)

// WithClock gives the gate another clock than the real one.
func WithClock(c clock.PassiveClock) GateOption {
	return func(g *Gate) { g.refused.clock = c }
}

// NewGate makes a gate. It logs who is refused, in lines that are bounded.
func NewGate(g Guard, log *zap.Logger, options ...GateOption) *Gate {
	made := &Gate{guard: g, log: log, refused: newRefusals(clock.RealClock{}, log), requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "auth_requests_total", Help: "Requests by what became of their check.",
	}, []string{labelResult})}
	for _, result := range []string{resultUnauthenticated, resultForbidden, resultUnavailable} {
		made.requests.WithLabelValues(result)
	}
	made.allowed = made.requests.WithLabelValues(resultAllowed)
	for _, option := range options {
		option(made)
	}
	return made
}

// Describe implements prometheus.Collector.
func (g *Gate) Describe(to chan<- *prometheus.Desc) {
	g.requests.Describe(to)
	if more, ok := g.guard.(prometheus.Collector); ok {
		more.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (g *Gate) Collect(to chan<- prometheus.Metric) {
	g.refused.report()
	g.requests.Collect(to)
	if more, ok := g.guard.(prometheus.Collector); ok {
		more.Collect(to)
	}
}

// Permit makes the middleware of a route that takes an action. A request passes
// with its caller in the context; others are answered 401, 403 or 503. A route
// whose action is not complete, or that has no gate, is an error: it would let
// everybody in.
func (g *Gate) Permit(action Action) (echo.MiddlewareFunc, error) {
	if g == nil || g.guard == nil {
		return nil, fmt.Errorf("no guard for action %q", action)
	}
	if !action.complete() {
		return nil, fmt.Errorf("action %q needs a group, a resource, a verb and a role", action)
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			caller, err := g.guard.Authenticate(r)
			if err == nil {
				err = g.authorize(r.Context(), caller, action, Scope{})
			}
			return g.pass(c, next, caller, err)
		}
	}, nil
}

// Authenticated makes the middleware of a route that any known caller may use: its
// handler asks Authorize for each thing that the request is about. A missing
// gate is an error: it would let everybody in.
func (g *Gate) Authenticated() (echo.MiddlewareFunc, error) {
	if g == nil || g.guard == nil {
		return nil, errors.New("no guard for a route whose callers are authenticated")
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			caller, err := g.guard.Authenticate(c.Request())
			return g.pass(c, next, caller, err)
		}
	}, nil
}

// Authorize returns nil if the caller of ctx may take the action there, else an
// error as Guard.Authorize does.
func (g *Gate) Authorize(ctx context.Context, action Action, where Scope) error {
	return g.authorize(ctx, CallerFrom(ctx), action, where)
}

func (g *Gate) authorize(ctx context.Context, caller Caller, action Action, where Scope) error {
	if caller.internal {
		return nil
	}
	err := g.guard.Authorize(ctx, caller, action, where)
	if forbidden, ok := errors.AsType[*ForbiddenError](err); ok {
		g.refused.add(refusal{caller: caller.Name, action: action, where: where}, forbidden.Remedy, forbidden.Reason)
	}
	if err != nil {
		g.log.Debug("action not permitted", zap.Stringer("action", action), zap.Stringer("where", where), zap.String("caller", caller.Name), zap.Error(err))
	}
	return err //nolint:wrapcheck // an interface of this package
}

// pass calls the handler with the caller in the context, or refuses the request.
func (g *Gate) pass(c echo.Context, next echo.HandlerFunc, caller Caller, err error) error {
	c.SetRequest(c.Request().WithContext(WithCaller(c.Request().Context(), caller)))
	if err != nil {
		g.log.Debug("request rejected", zap.String("caller", caller.Name), zap.Error(err))
		if unknown, ok := errors.AsType[*UnauthenticatedError](err); ok {
			g.refused.add(refusal{address: address(c.Request())}, unknown.Detail, causeOf(unknown))
		}
		err = g.refuse(c, err)
	} else {
		g.allowed.Inc()
		err = next(c)
	}
	g.Observe(c, err)
	return err
}

// refuse counts a refusal and turns it into what the client is told.
func (g *Gate) refuse(c echo.Context, err error) error {
	if e, ok := errors.AsType[*UnauthenticatedError](err); ok {
		g.requests.WithLabelValues(resultUnauthenticated).Inc()
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, challenge(c.Request()))
		p := problem.New(http.StatusUnauthorized, "%s", e.Detail)
		p.Cause = err
		return p
	}
	if e, ok := errors.AsType[*ForbiddenError](err); ok {
		g.requests.WithLabelValues(resultForbidden).Inc()
		p := problem.New(http.StatusForbidden, "%s", e.Detail())
		p.Cause = err
		return p
	}
	g.requests.WithLabelValues(resultUnavailable).Inc()
	p := problem.Unavailable(retryAfter, err, "it cannot be checked now who calls and what they may do; send it again")
	// The guard tells the log once that it cannot check: that may last for many requests.
	p.Logged = errors.As(err, new(*UnavailableError))
	return p
}

// challenge is the header of a 401 (RFC 6750, section 3).
func challenge(r *http.Request) string {
	if r.Header.Get(echo.HeaderAuthorization) == "" {
		return `Bearer realm="kubernaut"`
	}
	return `Bearer realm="kubernaut", error="invalid_token"`
}
