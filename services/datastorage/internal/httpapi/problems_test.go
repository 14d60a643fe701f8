package httpapi //nolint:testpackage // answers are made inside

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"kubernaut.ai/internal/httpserver/problem"
)

func TestARequestThatEndedBeforeItsCommitIsNoErrorOfTheServers(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		err := passing(fmt.Errorf("wait for the commit: %w", cause))
		var p *problem.Error
		if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || p.RetryAfter == 0 {
			t.Errorf("%v: %v, want 503 with Retry-After", cause, err)
		}
	}
}
