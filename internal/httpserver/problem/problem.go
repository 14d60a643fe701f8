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
)

// ContentType is the media type of problem details.
const ContentType = "application/problem+json"

const typeBase = "https://kubernaut.ai/problems/"

// The slugs of the problem types that are not simply the status' own name.
const (
	SlugValidation = "validation-error"
	SlugConflict   = "conflict"
)

// Problem is an error that is shown to a client. It is an error itself, so
// that handlers return it.
type Problem struct { //nolint:errname // the RFC's own name
	Type        string            `json:"type"`
	Title       string            `json:"title"`
	Status      int               `json:"status"`
	Detail      string            `json:"detail,omitempty"`
	Instance    string            `json:"instance,omitempty"`
	FieldErrors map[string]string `json:"field_errors,omitempty"`
	// Items names the offending parts of a request that held many.
	Items any `json:"items,omitempty"`

	// RetryAfter is sent as the Retry-After header, in whole seconds rounded up.
	RetryAfter time.Duration `json:"-"`
	// Cause is logged, never shown.
	Cause error `json:"-"`
	// Logged says that the log has the cause already, as the beginning of a
	// state that many requests meet.
	Logged bool `json:"-"`
}

// New makes a problem for a status; its type is derived from the status' name.
func New(status int, format string, args ...any) *Problem {
	title := http.StatusText(status)
	return &Problem{Type: typeBase + slug(title), Title: title, Status: status, Detail: fmt.Sprintf(format, args...)}
}

// Validation makes a 400 that names each field that is wrong and why.
func Validation(fields map[string]string, format string, args ...any) *Problem {
	p := New(http.StatusBadRequest, format, args...)
	p.Type = typeBase + SlugValidation
	p.Title = "Validation Error"
	p.FieldErrors = fields
	return p
}

// Unavailable makes a 503 with Retry-After; cause is logged, not shown.
func Unavailable(retryAfter time.Duration, cause error, format string, args ...any) *Problem {
	p := New(http.StatusServiceUnavailable, format, args...)
	p.RetryAfter = retryAfter
	p.Cause = cause
	return p
}

func (p *Problem) Error() string {
	text := strconv.Itoa(p.Status) + " " + p.Title
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.Cause != nil {
		text += ": " + p.Cause.Error()
	}
	return text
}

func (p *Problem) Unwrap() error { return p.Cause }

// Write sends the problem.
func (p *Problem) Write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		seconds := int64((p.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		return fmt.Errorf("write problem details: %w", err)
	}
	return nil
}

// ErrorHandler answers every error of an echo server as problem details.
// Errors of the server's own (5xx) are logged with their cause, unless the log
// has it already.
func ErrorHandler(log *zap.Logger) echo.HTTPErrorHandler {
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
		if err := shown.Write(c.Response()); err != nil {
			log.Debug("client went away before its answer", zap.Error(err))
		}
	}
}

func from(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
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

func slug(title string) string {
	out := make([]byte, 0, len(title))
	for i := range len(title) {
		switch c := title[i]; {
		case c >= 'A' && c <= 'Z':
			out = append(out, c+'a'-'A')
		case c == ' ':
			out = append(out, '-')
		case c != '\'':
			out = append(out, c)
		}
	}
	return string(out)
}
