package enrich

import (
	"context"
	"errors"
	"fmt"
	"net"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The codes of an Error.
const (
	CodeForbidden    = "forbidden"
	CodeUnauthorized = "unauthorized"
	CodeTimeout      = "timeout"
	CodeOverloaded   = "overloaded"
	CodeUnreachable  = "unreachable"
	CodeFailed       = "failed"
)

// Error is a failed read.
type Error struct {
	// Code is one of the Code constants.
	Code string
	// What is the object that could not be read, for example `pod "web-0" in namespace "shop"`.
	What string
	// Err is the cause.
	Err error
}

// Error includes the whole cause.
func (e *Error) Error() string { return fmt.Sprintf("read %s: %v", e.What, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Stable describes the error in words that do not vary between repetitions: the
// text of the cause may contain port numbers, or lists in varying order.
func (e *Error) Stable() string { return fmt.Sprintf("read %s: %s", e.What, e.Code) }

func newError(what string, err error) *Error {
	return &Error{Code: codeOf(err), What: what, Err: err}
}

func codeOf(err error) string {
	var network net.Error
	switch {
	case apierrors.IsForbidden(err):
		return CodeForbidden
	case apierrors.IsUnauthorized(err):
		return CodeUnauthorized
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err):
		return CodeOverloaded
	case errors.As(err, &network):
		return CodeUnreachable
	default:
		return CodeFailed
	}
}

// Describe returns the code and the stable text of an error from Enrich.
func Describe(err error) (code, text string) {
	var failed *Error
	switch {
	case errors.As(err, &failed):
		return failed.Code, failed.Stable()
	case errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout, "enrichment took too long"
	default:
		return CodeFailed, "enrichment failed"
	}
}
