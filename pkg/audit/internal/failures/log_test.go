package failures_test

import (
	"testing"

	"kubernaut.ai/pkg/audit/internal/failures"
)

func TestLogNamesTheFirstAndCountsTheOthers(t *testing.T) {
	t.Parallel()
	var l failures.Log
	for i, step := range []struct {
		n              int
		now            int64
		named, counted int
	}{
		{3, 1, 3, 0},
		{30, 2, 17, 13},
		{1, 3, 0, 1},
		{1, 4, 0, 1},
		{1, 5, 0, 1},
		{1, 6, 0, 1},
		{1, 7, 0, 0}, // enough lines for one period
		{1, 8, 0, 0},
		{1, failures.LogPeriod, 1, 2},
	} {
		if named, counted := l.Take(step.n, step.now); named != step.named || counted != step.counted {
			t.Errorf("step %d: %d named and %d counted, want %d and %d", i, named, counted, step.named, step.counted)
		}
	}
}
