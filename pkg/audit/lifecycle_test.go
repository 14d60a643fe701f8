package audit //nolint:testpackage // the lifecycle is internal

import "testing"

func TestLifecycleOnlyAdvances(t *testing.T) {
	t.Parallel()
	l := newLifecycle()
	for _, step := range []struct {
		to   phase
		news bool
		now  phase
	}{
		{accepting, false, accepting},
		{closing, true, closing},
		{closing, false, closing},
		{delivered, true, delivered}, // Close gave up before the spooler was drained
		{drained, false, delivered},
		{ended, true, ended},
		{declared, false, ended},
	} {
		if news := l.advance(step.to); news != step.news || l.phase != step.now {
			t.Errorf("advance to %d: news %v, phase %d, want %v and %d", step.to, news, l.phase, step.news, step.now)
		}
		for p := closing; p <= ended; p++ {
			select {
			case <-l.reached[p]:
				if p > l.phase {
					t.Errorf("phase %d is reached in phase %d", p, l.phase)
				}
			default:
				if p <= l.phase {
					t.Errorf("phase %d is not reached in phase %d", p, l.phase)
				}
			}
		}
	}
}
