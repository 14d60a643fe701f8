// Package auth tells who calls a service.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrUnauthenticated means that a request showed no credentials, or none that are known.
var ErrUnauthenticated = errors.New("unauthenticated")

// Caller is an authenticated client.
type Caller struct {
	// Name identifies the client, for example "system:serviceaccount:kubernaut-system:gateway".
	// It is empty where authentication is off.
	Name string
}

// Authenticator finds out who sent a request. It must be safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the caller, or an error that wraps ErrUnauthenticated
	// when the request is to be refused.
	Authenticate(r *http.Request) (Caller, error)
}

// None believes everybody; services allow it on loopback addresses only.
type None struct{}

// Authenticate returns a caller without a name.
func (None) Authenticate(*http.Request) (Caller, error) { return Caller{}, nil }

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

func bearer(r *http.Request) (string, error) {
	header := r.Header.Get("Authorization")
	scheme, token, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", fmt.Errorf("%w: send an Authorization header with a bearer token", ErrUnauthenticated)
	}
	return token, nil
}
