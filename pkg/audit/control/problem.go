package control

import (
	"encoding/json"
	"fmt"
	"net/http"

	"kubernaut.ai/pkg/audit/wire"
)

// ProblemError is an error that is shown to a client as problem details (RFC 9457).
type ProblemError struct {
	wire.Problem

	// Cause is nil if the detail says it all.
	Cause error
}

// Error gives the detail.
func (p *ProblemError) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// Unwrap gives the cause.
func (p *ProblemError) Unwrap() error { return p.Cause }

func newProblem(status int, format string, args ...any) *ProblemError {
	return &ProblemError{Problem: wire.NewProblem(status, fmt.Sprintf(format, args...))}
}

// invalid makes a 400 that says what is wrong with which field.
func invalid(fields map[string]string, format string, args ...any) *ProblemError {
	return &ProblemError{Problem: wire.ValidationProblem(fields, fmt.Sprintf(format, args...))}
}

// unavailable makes a 503.
func unavailable(cause error, format string, args ...any) *ProblemError {
	p := newProblem(http.StatusServiceUnavailable, format, args...)
	p.Cause = cause
	return p
}

func (p *ProblemError) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", wire.ProblemMediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(&p.Problem) //nolint:errchkjson // fails only if the client is gone
}
