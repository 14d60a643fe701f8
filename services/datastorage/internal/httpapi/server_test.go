package httpapi //nolint:testpackage // the check is an inner step

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/httpserver/problem"
)

func TestAFilterThatIsNotReadableNeverWidensAnAnswer(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]int{
		"":                            http.StatusOK,
		"correlation_id=a%3Bb":        http.StatusOK,
		"correlation_id=a;b":          http.StatusBadRequest,
		"correlation_id=%zz":          http.StatusBadRequest,
		"correlation_id=a&limit=%":    http.StatusBadRequest,
		"correlation_id=":             http.StatusBadRequest,
		"correlation_id=a&colour=red": http.StatusBadRequest,
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/audit/events", http.NoBody)
		request.URL.RawQuery = query
		handler := checked(parameters{"correlation_id": {query: true}, "limit": {query: true}})(func(echo.Context) error { return nil })
		status := http.StatusOK
		var p *problem.Error
		if err := handler(echo.New().NewContext(request, httptest.NewRecorder())); errors.As(err, &p) {
			status = p.Status
		} else if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if status != want {
			t.Errorf("%s: %d, want %d", query, status, want)
		}
	}
}
