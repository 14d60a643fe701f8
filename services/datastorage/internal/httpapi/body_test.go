package httpapi //nolint:testpackage // reading bodies is an inner step

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/iotest"

	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/internal/memory"
)

func TestABodyThatDoesNotArriveHasItsStatus(t *testing.T) {
	t.Parallel()
	const limit = 100
	budget := memory.NewBudget(PeakBodyBytes(limit, 1))
	reader, err := newBodies(limit, 1, budget)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		// The events are not to blame: a client may send them again.
		"too slow":    {os.ErrDeadlineExceeded, http.StatusRequestTimeout},
		"ended early": {io.ErrUnexpectedEOF, http.StatusBadRequest},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", iotest.ErrReader(tc.err))
		_, _, err := reader.read(echo.New().NewContext(request, httptest.NewRecorder()))
		var p *problem.Error
		if !errors.As(err, &p) || p.Status != tc.want {
			t.Errorf("%s: %v, want %d", name, err, tc.want)
		}
	}
	if budget.Used() != 0 {
		t.Errorf("bodies that did not arrive keep %d bytes", budget.Used())
	}
}
