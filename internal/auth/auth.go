// Package auth tells who calls a service, and whether they may do what they
// ask for.
//
// A Guard knows callers: None, TokenFile or Kubernetes. A Gate puts it before
// the routes of an API, each of which names the Action that it takes.
package auth

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Caller is an authenticated client.
type Caller struct {
	// Name identifies the client, for example "system:serviceaccount:kubernaut-system:gateway".
	// It is empty where authentication is off.
	Name string
	// UID, Groups and Extra are what the API server knows of the caller
	// besides; permissions may hang on them.
	UID    string
	Groups []string
	Extra  map[string][]string
}

// Action is what a request does, in the words of a Role's rules.
type Action struct {
	Group    string
	Resource string
	Verb     string
	// Role that the deployment has for the action; a refusal advises to bind it.
	Role string
}

// String names the action as kubectl does: create events.audit.kubernaut.ai.
func (a Action) String() string { return a.Verb + " " + a.Resource + "." + a.Group }

// complete tells a route's action from one that somebody forgot.
func (a Action) complete() bool {
	return a.Group != "" && a.Resource != "" && a.Verb != "" && a.Role != ""
}

// Guard knows callers and their permissions. It must be safe for concurrent
// use. Where it cannot tell, both methods return an *UnavailableError: a caller
// that might be known is never refused for good.
type Guard interface {
	// Authenticate returns who sent a request, or an *UnauthenticatedError.
	Authenticate(r *http.Request) (Caller, error)
	// Authorize returns nil if the caller may do it, or a *ForbiddenError.
	Authorize(ctx context.Context, caller Caller, action Action) error
}

// UnauthenticatedError means that a request showed no credentials, or none
// that are known.
type UnauthenticatedError struct {
	// Detail tells the client what to show.
	Detail string
	// Cause is not shown; it may be nil.
	Cause error
}

func (e *UnauthenticatedError) Error() string {
	text := "unauthenticated: " + e.Detail
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *UnauthenticatedError) Unwrap() error { return e.Cause }

// ForbiddenError means that a caller is known and lacks a permission.
type ForbiddenError struct {
	Caller    string
	Action    Action
	Namespace string
	// Reason is the authorizer's own; it is not shown.
	Reason string
}

func (e *ForbiddenError) Error() string {
	text := "forbidden: " + e.Detail()
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text
}

// Detail tells the caller what is missing, and its operator what to do.
func (e *ForbiddenError) Detail() string {
	return fmt.Sprintf("%s may not %s resource %s of API group %s in namespace %s; bind it to Role %s there: "+
		"kubectl create rolebinding --namespace %s NAME --role %s %s",
		strconv.Quote(e.Caller), e.Action.Verb, e.Action.Resource, e.Action.Group, e.Namespace, e.Action.Role,
		e.Namespace, e.Action.Role, subject(e.Caller))
}

// subject names a caller on kubectl's command line.
func subject(caller string) string {
	if account, ok := strings.CutPrefix(caller, "system:serviceaccount:"); ok {
		return "--serviceaccount " + account
	}
	return "--user " + strconv.Quote(caller)
}

// UnavailableError means that nobody can tell now who calls or what they may do.
type UnavailableError struct{ Cause error }

func (e *UnavailableError) Error() string { return "callers cannot be checked: " + e.Cause.Error() }

func (e *UnavailableError) Unwrap() error { return e.Cause }

// None believes everybody, and permits everything; services allow it on
// loopback addresses only.
type None struct{}

// Authenticate returns a caller without a name.
func (None) Authenticate(*http.Request) (Caller, error) { return Caller{}, nil }

// Authorize permits everything.
func (None) Authorize(context.Context, Caller, Action) error { return nil }

type callerKey struct{}

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller of a request's context.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// bearer returns a request's token (RFC 6750, section 2.1).
func bearer(r *http.Request) (string, error) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", &UnauthenticatedError{Detail: "send a bearer token in the Authorization header"}
	}
	return token, nil
}
