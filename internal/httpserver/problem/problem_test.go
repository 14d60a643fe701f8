package problem_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/pkg/audit/wire"
)

func TestErrorHandler(t *testing.T) {
	secret := errors.New("secret")
	for name, tc := range map[string]struct {
		err    error
		want   map[string]any
		retry  string
		logged int
	}{
		"problem": {
			err: problem.New(http.StatusUnsupportedMediaType, "send %s", "JSON"),
			want: map[string]any{
				"type": "https://kubernaut.ai/problems/unsupported-media-type", "title": "Unsupported Media Type",
				"status": 415.0, "detail": "send JSON", "instance": "/here",
			},
		},
		"validation": {
			err: problem.Validation(map[string]string{"version": "is required"}, "event refused"),
			want: map[string]any{
				"type": "https://kubernaut.ai/problems/validation-error", "title": "Validation Error", "status": 400.0,
				"detail": "event refused", "instance": "/here", "field_errors": map[string]any{"version": "is required"},
			},
		},
		"unavailable": {
			err: problem.Unavailable(1500*time.Millisecond, secret, "the database is away"),
			want: map[string]any{
				"type": "https://kubernaut.ai/problems/service-unavailable", "title": "Service Unavailable", "status": 503.0,
				"detail": "the database is away", "instance": "/here",
			},
			retry: "2", logged: 1,
		},
		"logged before": {
			err: &problem.Error{Problem: wire.Problem{Type: "about:blank", Title: "Service Unavailable", Status: 503}, Cause: secret, Logged: true},
			want: map[string]any{
				"type": "about:blank", "title": "Service Unavailable", "status": 503.0, "instance": "/here",
			},
		},
		"unknown route": {
			err: echo.ErrNotFound,
			want: map[string]any{
				"type": "https://kubernaut.ai/problems/not-found", "title": "Not Found", "status": 404.0,
				"detail": "there is nothing under this path", "instance": "/here",
			},
		},
		"internal": {
			err: secret,
			want: map[string]any{
				"type": "https://kubernaut.ai/problems/internal-server-error", "title": "Internal Server Error", "status": 500.0,
				"detail": "an error of the server's own; the log has it under the X-Request-ID of this answer", "instance": "/here",
			},
			logged: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			e := echo.New()
			e.HTTPErrorHandler = problem.ErrorHandler(zap.New(core))
			e.GET("/here", func(echo.Context) error { return tc.err })
			rec := httptest.NewRecorder()
			e.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/here", http.NoBody))
			var got map[string]any
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
			if ct := rec.Header().Get("Content-Type"); ct != wire.ProblemMediaType {
				t.Errorf("content type %q", ct)
			}
			if float64(rec.Code) != tc.want["status"] || rec.Header().Get("Retry-After") != tc.retry {
				t.Errorf("status %d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
			}
			if logs.Len() != tc.logged {
				t.Errorf("%d log lines, want %d", logs.Len(), tc.logged)
			}
		})
	}
}
