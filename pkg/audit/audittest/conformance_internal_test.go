package audittest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"kubernaut.ai/pkg/audit"
)

// The suite must notice every one of these mistakes, by the checks that are
// named, and each check must be able to notice something.
func TestSuiteNoticesBrokenSinks(t *testing.T) {
	t.Parallel()
	checks := conformanceChecks()
	able := make(map[string]bool)
	for name, broken := range brokenSinks() {
		for _, check := range broken.failing {
			if checks[check] == nil {
				t.Fatalf("%s: there is no check %q", name, check)
			}
			able[check] = true
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, check := range broken.failing {
				stored := newMemory()
				failures := failuresOf(t, checks[check], subjectOf(broken.sink(stored), stored))
				if len(failures) == 0 {
					t.Errorf("%q passes", check)
				}
				t.Logf("%q: %q", check, failures)
			}
		})
	}
	for check := range checks {
		if !able[check] {
			t.Errorf("no broken sink fails %q", check)
		}
	}
}

// The same recorder finds nothing wrong with a sink that works.
func TestSuitePassesASinkThatWorks(t *testing.T) {
	t.Parallel()
	for name, check := range conformanceChecks() {
		stored := newMemory()
		if failures := failuresOf(t, check, subjectOf(stored, stored)); len(failures) > 0 {
			t.Errorf("%q: %v", name, failures)
		}
	}
}

func subjectOf(sink audit.Sink, stored *memory) Subject {
	return Subject{Sink: sink, Stored: func(_ context.Context, correlationID string) ([]audit.Event, error) {
		return stored.of(correlationID), nil
	}}
}

// failuresOf runs a check as the testing package does, and lists its complaints.
func failuresOf(t *testing.T, check func(testing.TB, *conformance), subject Subject) []string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { // Fatal ends its goroutine
		defer close(done)
		check(r, newConformance(subject))
	}()
	<-done
	return r.failures
}

// recorder is a testing.TB that keeps failures to itself.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	failures []string
}

func (r *recorder) Error(args ...any) { r.add(fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) { r.add(fmt.Sprintf(format, args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.add(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (r *recorder) add(failure string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, failure)
}
