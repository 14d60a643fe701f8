package duplicates_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/duplicates"
)

// store remembers events. It fails while err is set.
type store struct {
	mu     sync.Mutex
	err    error                    // guarded by mu
	events []auditevents.Duplicates // guarded by mu
}

func (s *store) Record(_ context.Context, e *audit.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	var d auditevents.Duplicates
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return err
	}
	d.Request.Name = e.CorrelationID
	s.events = append(s.events, d)
	return nil
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// taken returns the events since the last call.
func (s *store) taken() []auditevents.Duplicates {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

type bundle struct {
	*duplicates.Log

	store *store
	stop  func() error
}

func setup(t *testing.T, capacity int) *bundle {
	t.Helper()
	s := &store{}
	l, err := duplicates.New(duplicates.Options{
		Recorder: s, Clock: clock.RealClock{}, Log: zap.NewNop(), Capacity: capacity, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, func() time.Duration { return time.Second }) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return &bundle{Log: l, store: s, stop: stop}
}

// arrive lets duplicates of a request arrive, and returns how many were recorded one by one.
func (b *bundle) arrive(name, instance string, count int) int {
	single := 0
	for range count {
		if !b.Take(duplicates.Duplicate{
			Request: types.NamespacedName{Namespace: "ns", Name: name}, UID: types.UID(name), Fingerprint: "f", SignalName: "A",
			Instance: instance, Seen: time.Now(),
		}) {
			single++
		}
	}
	return single
}

func TestTheFirstTenDuplicatesInAnHourAreRecordedOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		if n := b.arrive("rr-1", "i", 12); n != 10 {
			t.Errorf("%d of 12 were recorded one by one, want 10", n)
		}
		if n := b.arrive("rr-2", "i", 3); n != 3 {
			t.Errorf("%d of 3 of another request were recorded one by one", n)
		}
		<-time.After(time.Hour - time.Nanosecond)
		if n := b.arrive("rr-1", "i", 1); n != 0 {
			t.Error("one was recorded by itself a moment before the hour")
		}
		<-time.After(time.Nanosecond)
		if n := b.arrive("rr-1", "i", 11); n != 10 {
			t.Errorf("%d of 11 in the next hour were recorded one by one, want 10", n)
		}
	})
}

func TestTheOthersAreRecordedTogetherOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.arrive("rr-1", "i", 10)
		begin := time.Now()
		b.arrive("rr-1", "i", 500)
		<-time.After(400 * time.Millisecond)
		b.arrive("rr-1", "j", 300)
		b.Take(duplicates.Duplicate{UID: "rr-1", Instance: "k", Resolved: true, Seen: time.Now()})
		<-time.After(600*time.Millisecond - time.Nanosecond)
		if events := b.store.taken(); len(events) != 0 {
			t.Errorf("events %+v within the second", events)
		}
		<-time.After(time.Nanosecond)
		events := b.store.taken()
		if len(events) != 1 {
			t.Fatalf("events %+v, want one", events)
		}
		e := events[0]
		if e.Request.Name != "rr-1" || e.Count != 800 || e.Resolved != 1 || !e.First.Equal(begin) || e.Last.Sub(begin) != 400*time.Millisecond {
			t.Errorf("event %+v", e)
		}
		if fmt.Sprint(e.Instances) != "[{i 500} {j 300} {k 1}]" {
			t.Errorf("instances %v", e.Instances)
		}
		for range 30 {
			b.arrive("rr-1", "i", 1)
			<-time.After(100 * time.Millisecond)
		}
		if events := b.store.taken(); len(events) > 3 {
			t.Errorf("%d events in three seconds", len(events))
		}
	})
}

func TestInstancesOfAnEventAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.arrive("rr-1", "i", 10)
		for i := range 150 {
			b.arrive("rr-1", fmt.Sprint("i", i), 1)
		}
		<-time.After(time.Second)
		if e := b.store.taken(); len(e) != 1 || len(e[0].Instances) != 100 || e[0].More != 50 || e[0].Count != 150 {
			t.Errorf("events %+v", e)
		}
	})
}

func TestWhatCannotBeRecordedStaysPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.arrive("rr-1", "i", 15)
		b.store.fail(audit.ErrFull)
		<-time.After(time.Second)
		b.arrive("rr-1", "j", 2)
		synctest.Wait()
		b.store.fail(nil)
		<-time.After(time.Second)
		if e := b.store.taken(); len(e) != 1 || e[0].Count != 7 || len(e[0].Instances) != 2 {
			t.Errorf("events %+v, want one with all 7", e)
		}
		b.arrive("rr-1", "i", 4)
		b.store.fail(audit.ErrInDoubt)
		<-time.After(time.Second)
		synctest.Wait()
		b.store.fail(nil)
		<-time.After(10 * time.Second)
		if e := b.store.taken(); len(e) != 0 {
			t.Errorf("events %+v, but they may be recorded already", e)
		}
	})
}

func TestAStopRecordsWhatIsPendingOrReportsTheLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 10)
		b.arrive("rr-1", "i", 13)
		synctest.Wait()
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		if e := b.store.taken(); len(e) != 1 || e[0].Count != 3 {
			t.Errorf("events %+v", e)
		}
		c := setup(t, 10)
		c.arrive("rr-1", "i", 13)
		c.store.fail(errors.New("disk full"))
		if err := c.stop(); err == nil || !strings.Contains(err.Error(), "1 requests") {
			t.Errorf("error %v, want one that counts the requests", err)
		}
	})
}

func TestAFullLogLeavesDuplicatesToTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, 1)
		b.arrive("rr-1", "i", 11)
		if n := b.arrive("rr-2", "i", 20); n != 20 {
			t.Errorf("%d of 20 were recorded one by one, want all", n)
		}
	})
}

func TestALogWithoutCapacityIsRejected(t *testing.T) {
	t.Parallel()
	if _, err := duplicates.New(duplicates.Options{Registerer: prometheus.NewRegistry()}); err == nil || !strings.Contains(err.Error(), "capacity") {
		t.Errorf("error %v, want one about the capacity", err)
	}
}
