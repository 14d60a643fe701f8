package httpserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/httpserver"
)

func TestRequestID(t *testing.T) {
	t.Parallel()
	e := echo.New()
	e.Use(httpserver.RequestID(func() string { return "made" }))
	e.GET("/", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	for sent, want := range map[string]string{
		"0190163d-8694-739b-aea5-966c26f8ad91": "", "host/AbC+1=:8080_x.y@z": "", strings.Repeat("x", 128): "",
		"": "made", strings.Repeat("x", 129): "made", "with space": "made", "ümlaut": "made", "a\"b": "made", "a\tb": "made",
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		request.Header.Set(echo.HeaderXRequestID, sent)
		response := httptest.NewRecorder()
		e.ServeHTTP(response, request)
		if want == "" {
			want = sent
		}
		if got := response.Header().Get(echo.HeaderXRequestID); got != want {
			t.Errorf("id %q became %q, want %q", sent, got, want)
		}
	}
}
