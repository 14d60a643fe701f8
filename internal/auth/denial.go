package auth

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/httpserver/problem"
)

// Reason says why the caller of a request is unknown, or why a handler denied the
// request of a caller who has the permission.
type Reason string

// The reasons. What the API server knows of a token beyond its being unknown, it
// tells in words only: one that it does not tell so is ReasonUnknownToken.
const (
	ReasonNoToken       Reason = "no_token"
	ReasonUnknownToken  Reason = "unknown_token"
	ReasonExpiredToken  Reason = "expired_token"
	ReasonOtherAudience Reason = "other_audience"
	// ReasonNotForwarded is that of requests that did not come from the API server.
	ReasonNotForwarded Reason = "not_forwarded"
	// ReasonNoUser is that of forwarded requests that name no user.
	ReasonNoUser Reason = "no_user"
)

// ReasonUnspecified is that of a handler that denied a request without a reason.
const ReasonUnspecified Reason = "unspecified"

// Denial is a request that was answered 401 or 403, or denied in part. It has
// nothing of the request's headers or path.
type Denial struct {
	// Status of the answer: 401 if the caller is unknown, else 403.
	Status int
	// Caller whose request was denied; without a name if unknown.
	Caller Caller
	// Action that the caller lacks the permission for, if that is why.
	Action Action
	// Reason is empty if a permission is missing.
	Reason Reason
	// Address is the host that the request came from.
	Address string
	// Method of the request, and Route, the pattern that its path matched.
	Method, Route string
}

// Denied makes the answer of a handler to a caller who has the permission for the
// route, and whose request is denied nevertheless.
func Denied(reason Reason, format string, args ...any) *problem.Error {
	p := problem.New(http.StatusForbidden, format, args...)
	p.Cause = &DeniedError{Reason: reason}
	return p
}

// DeniedError means that a request is denied for another reason than a missing permission.
type DeniedError struct{ Reason Reason }

func (e *DeniedError) Error() string { return "denied: " + string(e.Reason) }

// WithObserver returns the gate with an observer, which is told of each request
// that is answered 401 or 403 behind Permit or Authenticated, by the gate itself or
// by the handler, and of what handlers tell Observe. It is not told of requests
// that could not be checked.
func (g *Gate) WithObserver(denied func(*Denial)) *Gate {
	observed := *g
	observed.denied = denied
	return &observed
}

// Observe tells the observer of a request that is denied with err, a problem of
// status 401 or 403. Handlers call it where they deny only a part of a request.
// Any other error is no denial.
func (g *Gate) Observe(c echo.Context, err error) {
	if g.denied == nil || err == nil {
		return
	}
	d := Denial{
		Status: problem.Status(err), Caller: CallerFrom(c.Request().Context()),
		Address: address(c.Request()), Method: c.Request().Method, Route: c.Path(),
	}
	if d.Status != http.StatusUnauthorized && d.Status != http.StatusForbidden {
		return
	}
	if unknown, ok := errors.AsType[*UnauthenticatedError](err); ok {
		d.Reason = unknown.Reason
	} else if forbidden, ok := errors.AsType[*ForbiddenError](err); ok {
		d.Action = forbidden.Action
	} else if denied, ok := errors.AsType[*DeniedError](err); ok {
		d.Reason = denied.Reason
	} else {
		d.Reason = ReasonUnspecified
	}
	g.denied(&d)
}

// reasonOf finds the reason in the words in which the API server refuses a token.
func reasonOf(text string) Reason {
	switch {
	case strings.Contains(text, "expired"):
		return ReasonExpiredToken
	case strings.Contains(text, "audience"):
		return ReasonOtherAudience
	}
	return ReasonUnknownToken
}
