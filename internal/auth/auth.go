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

	// grants are those of the caller's line in a token file.
	grants grants
	// internal marks a part of the service itself.
	internal bool
}

// Internal is a part of the service itself, which acts without a request. A Gate
// permits it everything.
func Internal(name string) Caller { return Caller{Name: name, internal: true} }

// Action is what a request does, in the words of a Role's rules.
type Action struct {
	Group    string
	Resource string
	Verb     string
	// Name is the name of one resource, as in the resourceNames of a Role's rule:
	// the first part of an event's type. Empty means all of them.
	Name string
	// Role that the deployment has for the action; a rejection advises to bind it.
	// It is a ClusterRole if callers need the permission in namespaces of their own.
	Role string
}

// Scope is where an action takes place. The zero value is the namespace that the
// service is configured with.
type Scope struct {
	namespace  string
	everywhere bool
}

// InNamespace is a namespace; without a name it is Everywhere, as for a target
// that has no namespace.
func InNamespace(name string) Scope { return Scope{namespace: name, everywhere: name == ""} }

// Everywhere is all namespaces, and what is in none.
func Everywhere() Scope { return Scope{everywhere: true} }

// String names the scope in a sentence.
func (s Scope) String() string {
	switch {
	case s.everywhere:
		return "all namespaces"
	case s.namespace == "":
		return "the service's own namespace"
	}
	return "namespace " + s.namespace
}

// Named is the action on one resource.
func (a Action) Named(name string) Action {
	a.Name = name
	return a
}

// String names the action as kubectl does: create events.audit.kubernaut.ai/gateway.
func (a Action) String() string { return a.Verb + " " + a.On() }

// On names what the action is on, with its group: events.audit.kubernaut.ai/gateway.
func (a Action) On() string {
	text := a.Resource + "." + a.Group
	if a.Name != "" {
		text += "/" + a.Name
	}
	return text
}

// resource names the resource in a sentence.
func (a Action) resource() string {
	if a.Name == "" {
		return a.Resource
	}
	return a.Resource + "/" + a.Name
}

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
	// Authorize returns nil if the caller may do it there, or a *ForbiddenError.
	Authorize(ctx context.Context, caller Caller, action Action, where Scope) error
}

// UnauthenticatedError means that a request showed no credentials, or none
// that are known.
type UnauthenticatedError struct {
	// Detail tells the client what to show.
	Detail string
	// Reason is Detail in a word.
	Reason Reason
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
	Caller string
	Action Action
	// Where the permission is missing.
	Where Scope
	// Remedy tells the caller's operator what to do.
	Remedy string
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
	return fmt.Sprintf("%s may not %s resource %s of API group %s in %s; %s",
		strconv.Quote(e.Caller), e.Action.Verb, e.Action.resource(), e.Action.Group, e.Where, e.Remedy)
}

// bindRole tells how to bind a caller to a Role of the service's namespace.
func bindRole(caller string, action Action, namespace string) string {
	role := action.Role
	if action.Name != "" {
		return fmt.Sprintf("bind it to a Role there with the rule apiGroups [%s], resources [%s], verbs [%s], resourceNames [%s]: "+
			"kubectl create rolebinding --namespace %s NAME --role ROLE %s",
			action.Group, action.Resource, action.Verb, action.Name, namespace, subject(caller))
	}
	return fmt.Sprintf("bind it to Role %s there: kubectl create rolebinding --namespace %s NAME --role %s %s", role, namespace, role, subject(caller))
}

// bindClusterRole tells how to bind a caller to a ClusterRole in a namespace, or in all.
func bindClusterRole(caller, role string, where Scope) string {
	if where.everywhere {
		return fmt.Sprintf("bind it to ClusterRole %s: kubectl create clusterrolebinding NAME --clusterrole %s %s", role, role, subject(caller))
	}
	return fmt.Sprintf("bind it to ClusterRole %s there, or in all namespaces: kubectl create rolebinding --namespace %s NAME --clusterrole %s %s",
		role, where.namespace, role, subject(caller))
}

// subject names a caller on kubectl's command line.
func subject(caller string) string {
	if account, ok := strings.CutPrefix(caller, serviceAccountPrefix); ok {
		return "--serviceaccount " + account
	}
	return "--user " + strconv.Quote(caller)
}

// UnavailableError means that nobody can tell now who calls or what they may do.
type UnavailableError struct{ Cause error }

// Holder is a Guard that knows callers by their names, also while they do not
// call: those who recorded an event.
type Holder interface {
	// Holds reports whether the caller of a name has the permission now. It is
	// unknown if the guard cannot tell from the name alone.
	Holds(ctx context.Context, name string, action Action) (holds, known bool, err error)
}

func (e *UnavailableError) Error() string { return "callers cannot be checked: " + e.Cause.Error() }

func (e *UnavailableError) Unwrap() error { return e.Cause }

// None believes everybody, and permits everything; services allow it on
// loopback addresses only.
type None struct{}

// Authenticate returns a caller without a name.
func (None) Authenticate(*http.Request) (Caller, error) { return Caller{}, nil }

// Authorize permits everything.
func (None) Authorize(context.Context, Caller, Action, Scope) error { return nil }

// Holds implements Holder: everybody has every permission.
func (None) Holds(context.Context, string, Action) (holds, known bool, err error) {
	return true, true, nil
}

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
		return "", &UnauthenticatedError{Detail: "send a bearer token in the Authorization header", Reason: ReasonNoToken}
	}
	return token, nil
}
