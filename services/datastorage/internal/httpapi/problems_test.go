package httpapi //nolint:testpackage // answers are made inside

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/erasure"
	"kubernaut.ai/services/datastorage/internal/hold"
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

func TestACallerThatCannotBeRecordedIsDeniedForAReason(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"hold": HoldProblem(fmt.Errorf("place a hold: %w", hold.ErrCaller)), "erasure": ErasureProblem(fmt.Errorf("request: %w", erasure.ErrCaller)),
	} {
		denied, ok := errors.AsType[*auth.DeniedError](err)
		if !ok || denied.Reason != "unusable_user" || problem.Status(err) != http.StatusForbidden {
			t.Errorf("%s: %v, want 403 with the reason unusable_user", name, err)
		}
	}
}
