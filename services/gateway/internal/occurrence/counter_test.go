package occurrence_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/gateway/internal/occurrence"
)

// write is what reached the API server, and when.
type write struct {
	name       string
	duplicates int64
	at         time.Duration
	changes    int
}

// server remembers the writes. It fails while err is set, and hangs for the
// requests in stuck.
type server struct {
	start time.Time

	mu     sync.Mutex
	err    error           // guarded by mu
	writes []write         // guarded by mu
	stuck  map[string]bool // guarded by mu
}

func (s *server) Write(ctx context.Context, r occurrence.Request, b *occurrence.Batch) ([]bool, error) {
	if s.isStuck(r.Name) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	s.writes = append(s.writes, write{r.Name, b.Duplicates, time.Since(s.start), len(b.Changes)})
	return make([]bool, len(b.Changes)), nil
}

func (s *server) isStuck(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stuck[name]
}

func (s *server) hang(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = map[string]bool{}
	for _, name := range names {
		s.stuck[name] = true
	}
}

func (s *server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *server) expect(t *testing.T, want ...write) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.writes, want) {
		t.Errorf("writes %v, want %v", s.writes, want)
	}
	s.writes = nil
}

type bundle struct {
	server  *server
	counter *occurrence.Counter
	metrics *prometheus.Registry
	logs    *observer.ObservedLogs
	// stop ends Run and returns its error.
	stop func() error
}

// setup runs a counter in a synctest bubble, where the clock moves only when
// everybody waits.
func setup(t *testing.T, capacity int) *bundle {
	t.Helper()
	s := &server{start: time.Now()}
	metrics := prometheus.NewRegistry()
	core, logs := observer.New(zap.DebugLevel)
	counter, err := occurrence.NewCounter(occurrence.Options{
		Writer: s, Clock: clock.RealClock{}, Log: zap.New(core), Capacity: capacity, Registerer: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- counter.Run(ctx, func() time.Duration { return time.Minute }) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return &bundle{server: s, counter: counter, metrics: metrics, logs: logs, stop: stop}
}

func (b *bundle) add(t *testing.T, name string, duplicates int) {
	t.Helper()
	for range duplicates {
		if err := b.counter.Count(t.Context(), requestNamed(name), occurrence.Report{ID: "i", Seen: time.Now()}); err != nil {
			t.Error(err)
		}
	}
}

func requestNamed(name string) occurrence.Request {
	return occurrence.Request{NamespacedName: types.NamespacedName{Namespace: "a", Name: name}, UID: types.UID(name)}
}

// apply applies a change and returns its result later.
func (b *bundle) apply(t *testing.T, name string, r occurrence.Report) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- b.counter.Apply(t.Context(), requestNamed(name), r) }()
	return done
}

func TestTheFirstCountIsWrittenAtOnceAndLaterOnesOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 0, 0})
		b.add(t, "r", 1000)
		<-time.After(time.Second - time.Microsecond)
		b.server.expect(t)
		<-time.After(time.Microsecond)
		b.server.expect(t, write{"r", 1000, time.Second, 0})
		<-time.After(10 * time.Second)
		b.server.expect(t)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 11 * time.Second, 0})
	})
}

func TestRequestsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 0, 0})
		<-time.After(300 * time.Millisecond)
		b.add(t, "s", 1)
		b.add(t, "r", 1)
		b.server.expect(t, write{"s", 1, 300 * time.Millisecond, 0})
		<-time.After(700 * time.Millisecond)
		b.server.expect(t, write{"r", 1, time.Second, 0})
	})
}

func TestFailedWritesAreRepeatedLoggedOnceAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.server.fail(errors.New("unavailable"))
		b.add(t, "r", 1)
		synctest.Wait()
		b.add(t, "r", 1)
		<-time.After(time.Second)
		b.server.expect(t)
		if n := b.counter.Pending(); n != 1 {
			t.Errorf("%d requests wait for a write, want 1", n)
		}
		b.server.fail(nil)
		<-time.After(time.Second)
		b.server.expect(t, write{"r", 2, 2 * time.Second, 0})
		if n := b.counter.Pending(); n != 0 {
			t.Errorf("%d requests wait for a write, want none", n)
		}
		messages := make([]string, 0, b.logs.Len())
		for _, entry := range b.logs.All() {
			messages = append(messages, entry.Level.String()+" "+entry.Message)
		}
		want := []string{
			"warn what signals say cannot be written to requests; trying again every second",
			"info what signals say is written to requests again",
		}
		if !slices.Equal(messages, want) {
			t.Errorf("logged %q, want %q", messages, want)
		}
		if cause := b.logs.All()[0].ContextMap()["error"]; cause != "write signals of r: unavailable" {
			t.Errorf("the warning has the cause %v", cause)
		}
		const failures = `
# HELP gateway_count_write_failures_total Writes of occurrence counts to the status of requests that failed.
# TYPE gateway_count_write_failures_total counter
gateway_count_write_failures_total 2
`
		if err := testutil.GatherAndCompare(b.metrics, strings.NewReader(failures), "gateway_count_write_failures_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestRequestsThatFailTogetherAreLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.server.fail(errors.New("unavailable"))
		for _, name := range []string{"r", "s", "t"} {
			b.add(t, name, 1)
		}
		<-time.After(time.Minute)
		if n := b.logs.Len(); n != 1 {
			t.Errorf("%d log entries during the outage, want 1", n)
		}
		b.server.fail(nil)
		<-time.After(2 * time.Second)
		synctest.Wait()
		if n := b.logs.Len(); n != 2 {
			t.Errorf("%d log entries after the outage, want 2", n)
		}
	})
}

func TestAStuckWriteDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.server.hang("r")
		b.add(t, "r", 1)
		synctest.Wait()
		b.add(t, "s", 1)
		b.server.expect(t, write{"s", 1, 0, 0})
		if n := b.counter.Pending(); n != 1 {
			t.Errorf("%d requests wait for a write, want 1", n)
		}
		b.add(t, "r", 1) // while the write hangs, nobody begins another one
		<-time.After(4 * time.Second)
		b.server.hang()
		<-time.After(2 * time.Second)
		b.server.expect(t, write{"r", 2, 6 * time.Second, 0})
	})
}

func TestAStopWaitsForAWriteInProgressWithinItsGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.server.hang("r")
		b.add(t, "r", 1)
		synctest.Wait()
		begun := time.Now()
		if err := b.stop(); err == nil {
			t.Error("a lost count is not an error")
		}
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("stopped after %v, the grace period is a minute", took)
		}
	})
}

func TestACounterWithoutCapacityIsRejected(t *testing.T) {
	t.Parallel()
	_, err := occurrence.NewCounter(occurrence.Options{Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), "capacity") {
		t.Errorf("error %v, want one about the capacity", err)
	}
}

func TestAFullCounterWritesBeforeItReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 1)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 0, 0})
		b.add(t, "s", 1)
		b.server.expect(t, write{"s", 1, 0, 0})
		b.server.fail(errors.New("unavailable"))
		if err := b.counter.Count(t.Context(), requestNamed("s"), occurrence.Report{Seen: time.Now()}); err == nil {
			t.Error("a count that is neither collected nor written was accepted")
		}
		b.server.fail(nil)
		<-time.After(time.Second)
		synctest.Wait()
		b.add(t, "s", 1)
		b.server.expect(t, write{"s", 1, time.Second, 0})
	})
}

func TestAStopWritesWhatIsPendingOrReportsTheLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 0, 0})
		b.add(t, "r", 3)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.server.expect(t, write{"r", 3, 0, 0})

		c := setup(t, 10)
		c.server.fail(errors.New("unavailable"))
		c.add(t, "r", 1)
		synctest.Wait()
		if err := c.stop(); err == nil {
			t.Error("a lost count is not an error")
		}
	})
}

func TestAChangeOfStateIsWrittenBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 0, 0})
		b.add(t, "r", 5)
		b.server.expect(t) // the next write is due in a second

		done := b.apply(t, "r", occurrence.Report{ID: "i", Seen: time.Now()})
		b.server.expect(t, write{"r", 6, 0, 1}) // at once, and the duplicates with it
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestChangesThatWaitAtTheSameTimeShareAWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.server.hang("r")
		first := b.apply(t, "r", occurrence.Report{ID: "i", Seen: time.Now()})
		synctest.Wait()
		ids := []string{"j", "k", "l"}
		waiting := make([]<-chan error, 0, len(ids))
		for _, id := range ids {
			waiting = append(waiting, b.apply(t, "r", occurrence.Report{ID: id, Resolved: id == "l", Seen: time.Now()}))
		}
		synctest.Wait()
		b.server.hang()
		if err := <-first; err == nil {
			t.Error("the write that hung until its deadline succeeded")
		}
		for _, done := range waiting {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		// The end of an instance is no occurrence, and the first change was not written.
		b.server.expect(t, write{"r", 2, 5 * time.Second, 3})
	})
}

func TestAChangeThatCannotBeWrittenFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.server.fail(errors.New("unavailable"))
		b.add(t, "r", 2)
		if err := <-b.apply(t, "r", occurrence.Report{ID: "i", Seen: time.Now()}); err == nil {
			t.Error("no error, so the sender would not repeat the change")
		}
		b.server.fail(nil)
		<-time.After(2 * time.Second)
		b.server.expect(t, write{"r", 2, time.Second, 0}) // the duplicates are not lost
	})
}

func TestAFullCounterWritesChangesItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 1)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 0, 0})
		if err := <-b.apply(t, "s", occurrence.Report{ID: "i", Seen: time.Now()}); err != nil {
			t.Error(err)
		}
		b.server.expect(t, write{"s", 1, 0, 1})
	})
}
