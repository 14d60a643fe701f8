package window_test

import (
	"testing"

	"kubernaut.ai/pkg/audit/internal/window"
)

func TestALimitIsHalfOfWhatDidNotPassUntilItIsProbed(t *testing.T) {
	t.Parallel()
	w := window.New[string](window.Limits{Events: 10, Bytes: 1000, InFlight: 1, Interval: 1})
	if w.Limit() != 0 || w.Probe(1) {
		t.Error("there is a limit before anything failed")
	}
	for i, step := range []struct {
		bytes, limit int
		first        bool
	}{{1000, 500, true}, {500, 250, false}, {800, 250, false}, {251, 125, false}} {
		if first, limit := w.Exceeded(step.bytes, int64(i)); first != step.first || limit != step.limit || w.Limit() != limit {
			t.Errorf("after %d bytes: %v, %d, want %v, %d", step.bytes, first, limit, step.first, step.limit)
		}
	}
	now := int64(3 + window.ProbeInterval)
	if w.Probe(now-1) || w.Limit() != 125 {
		t.Errorf("probed too early: %d", w.Limit())
	}
	for _, limit := range []int{250, 500, 0} {
		lifted := w.Probe(now)
		if w.Limit() != limit || lifted != (limit == 0) {
			t.Errorf("limit %d, lifted %v, want %d", w.Limit(), lifted, limit)
		}
		if w.Probe(now) {
			t.Error("probed twice at a time")
		}
		now += window.ProbeInterval
	}
}
