package auth

import (
	"errors"
	"strings"

	"github.com/labstack/echo/v4"
)

// Reason says why the caller of a request is unknown.
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

// Denial is a request that a gate did not let pass, because its caller is unknown
// or lacks a permission. It has nothing of the request's headers or path.
type Denial struct {
	// Caller who lacks the permission for Action; without a name if unknown.
	Caller Caller
	Action Action
	// Reason is empty if the caller is known.
	Reason Reason
	// Address is the host that the request came from.
	Address string
	// Method of the request, and Route, the pattern that its path matched.
	Method, Route string
}

// WithObserver returns the gate with an observer, which is told of each request
// that Permit or Authenticated denies. It is neither told of requests that could
// not be checked, nor of what a handler asks Authorize for.
func (g *Gate) WithObserver(denied func(*Denial)) *Gate {
	observed := *g
	observed.denied = denied
	return &observed
}

// observe tells the observer of a denied request.
func (g *Gate) observe(c echo.Context, caller *Caller, err error) {
	if g.denied == nil {
		return
	}
	d := Denial{Address: address(c.Request()), Method: c.Request().Method, Route: c.Path()}
	if unknown, ok := errors.AsType[*UnauthenticatedError](err); ok {
		d.Reason = unknown.Reason
	} else if forbidden, ok := errors.AsType[*ForbiddenError](err); ok {
		d.Caller, d.Action = *caller, forbidden.Action
	} else {
		return
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
