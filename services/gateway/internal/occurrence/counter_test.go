package occurrence_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/gateway/internal/occurrence"
)

// write is what reached the API server, and when.
type write struct {
	name       string
	duplicates int64
	at         time.Duration
}

// server keeps the writes; it fails while err is set.
type server struct {
	start time.Time

	mu     sync.Mutex
	err    error   // guarded by mu
	writes []write // guarded by mu
}

func (s *server) Add(_ context.Context, r occurrence.Request, duplicates int64, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.writes = append(s.writes, write{r.Name, duplicates, time.Since(s.start)})
	return nil
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
	// stop ends Run and returns its error.
	stop func() error
}

// setup runs a counter in a synctest bubble, where the clock moves only when
// everybody waits.
func setup(t *testing.T, capacity int) *bundle {
	t.Helper()
	s := &server{start: time.Now()}
	counter := occurrence.NewCounter(s, clock.RealClock{}, zap.NewNop(), capacity)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- counter.Run(ctx, func() time.Duration { return time.Minute }) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return &bundle{server: s, counter: counter, stop: stop}
}

func (b *bundle) add(t *testing.T, name string, duplicates int64) {
	t.Helper()
	r := occurrence.Request{NamespacedName: types.NamespacedName{Namespace: "a", Name: name}, UID: types.UID(name)}
	if err := b.counter.Add(t.Context(), r, duplicates, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestTheFirstCountIsWrittenAtOnceAndLaterOnesOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.add(t, "r", 0)
		b.server.expect(t, write{"r", 0, 0})
		for range 1000 {
			b.add(t, "r", 1)
		}
		<-time.After(time.Second - time.Microsecond)
		b.server.expect(t)
		<-time.After(time.Microsecond)
		b.server.expect(t, write{"r", 1000, time.Second})
		<-time.After(10 * time.Second)
		b.server.expect(t)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 11 * time.Second})
	})
}

func TestRequestsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 0})
		<-time.After(300 * time.Millisecond)
		b.add(t, "s", 1)
		b.add(t, "r", 1)
		b.server.expect(t, write{"s", 1, 300 * time.Millisecond})
		<-time.After(700 * time.Millisecond)
		b.server.expect(t, write{"r", 1, time.Second})
	})
}

func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.server.fail(errors.New("away"))
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
		b.server.expect(t, write{"r", 2, 2 * time.Second})
		if n := b.counter.Pending(); n != 0 {
			t.Errorf("%d requests wait for a write, want none", n)
		}
	})
}

func TestAFullCounterWritesBeforeItReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 1)
		b.add(t, "r", 1)
		b.server.expect(t, write{"r", 1, 0})
		b.add(t, "s", 1)
		b.server.expect(t, write{"s", 1, 0})
		b.server.fail(errors.New("away"))
		r := occurrence.Request{NamespacedName: types.NamespacedName{Name: "s"}, UID: "s"}
		if err := b.counter.Add(t.Context(), r, 1, time.Now()); err == nil {
			t.Error("a count that is neither kept nor written was accepted")
		}
		b.server.fail(nil)
		<-time.After(time.Second)
		synctest.Wait()
		b.add(t, "s", 1)
		b.server.expect(t, write{"s", 1, time.Second})
	})
}

func TestAStopWritesWhatIsOwedOrSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.add(t, "r", 0)
		b.server.expect(t, write{"r", 0, 0})
		b.add(t, "r", 3)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.server.expect(t, write{"r", 3, 0})

		c := setup(t, 10)
		c.server.fail(errors.New("away"))
		c.add(t, "r", 1)
		synctest.Wait()
		if err := c.stop(); err == nil {
			t.Error("a lost count is no error")
		}
	})
}
