// Package problem writes errors as RFC 9457 problem details.
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"kubernaut.ai/pkg/audit/wire"
)

// Error is an error that is shown to a client as problem details. Handlers return it.
type Error struct {
	wire.Problem

	// RetryAfter is sent as the Retry-After header, in whole seconds rounded up.
	RetryAfter time.Duration
	// Cause is logged, never shown.
	Cause error
	// Logged means that the cause is in the log already, for instance once for a state that many requests meet.
	Logged bool
}

// New makes a problem for a status; its type is derived from the status' name.
func New(status int, format string, args ...any) *Error {
	return &Error{Problem: wire.NewProblem(status, fmt.Sprintf(format, args...))}
}

// Validation makes a 400 that names each field that is wrong and why.
func Validation(fields map[string]string, format string, args ...any) *Error {
	return &Error{Problem: wire.ValidationProblem(fields, fmt.Sprintf(format, args...))}
}

// Unavailable makes a 503 with Retry-After; cause is logged, not shown.
func Unavailable(retryAfter time.Duration, cause error, format string, args ...any) *Error {
	p := New(http.StatusServiceUnavailable, format, args...)
	p.RetryAfter = retryAfter
	p.Cause = cause
	return p
}

func (p *Error) Error() string {
	text := strconv.Itoa(p.Status) + " " + p.Title
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.Cause != nil {
		text += ": " + p.Cause.Error()
	}
	return text
}

func (p *Error) Unwrap() error { return p.Cause }

// Write sends the problem.
func (p *Error) Write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", wire.ProblemMediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		seconds := int64((p.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(&p.Problem); err != nil {
		return fmt.Errorf("write problem details: %w", err)
	}
	return nil
}

// ErrorHandler responds to every error of an echo server with problem details. Internal errors (5xx) are logged with
// their cause, unless the log has it already.
func ErrorHandler(log *zap.Logger) echo.HTTPErrorHandler {
	return Handler(log, func(p *Error, w http.ResponseWriter) error { return p.Write(w) })
}

// Handler is ErrorHandler for a server that writes problems in another form.
func Handler(log *zap.Logger, write func(p *Error, w http.ResponseWriter) error) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		p := from(err)
		shown := *p
		shown.Instance = c.Request().URL.Path
		if p.Status >= http.StatusInternalServerError && !p.Logged {
			log.Warn("request failed",
				zap.String("method", c.Request().Method), zap.String("path", c.Path()), zap.Int("status", p.Status),
				zap.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)), zap.Error(err))
		}
		if c.Request().Method == http.MethodHead {
			c.Response().WriteHeader(p.Status)
			return
		}
		if err := write(&shown, c.Response()); err != nil {
			log.Debug("client went away before its answer", zap.Error(err))
		}
	}
}

func from(err error) *Error {
	if p, ok := errors.AsType[*Error](err); ok {
		return p
	}
	if h, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch h.Code {
		case http.StatusNotFound:
			return New(h.Code, "there is nothing under this path")
		case http.StatusMethodNotAllowed:
			return New(h.Code, "this path does not take this method")
		default:
			return New(h.Code, "%v", h.Message)
		}
	}
	internal := New(http.StatusInternalServerError, "an error of the server's own; the log has it under the X-Request-ID of this answer")
	internal.Cause = err
	return internal
}

// Status returns the status that an error of a handler is answered with.
func Status(err error) int { return from(err).Status }
