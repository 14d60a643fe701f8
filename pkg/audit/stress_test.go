package audit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
)

// stress is a store that many goroutines use at the same time.
type stress struct {
	*audit.Store

	sink     *audittest.MemorySink
	registry lastingRegistry

	accepted, doubtful, acknowledged, reported atomic.Int64
}

// lastingRegistry keeps the metrics of a store that was closed.
type lastingRegistry struct{ *prometheus.Registry }

func (lastingRegistry) Unregister(prometheus.Collector) bool { return true }

const (
	stressRecorders    = 60
	stressFlushers     = 6
	stressAcknowledges = 2
	stressEvents       = 40
)

func newStress(t *testing.T) *stress {
	t.Helper()
	kept, err := spool.Open(t.TempDir()+"/spool", spool.WithSegmentBytes(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	s := &stress{sink: audittest.NewMemorySink(), registry: lastingRegistry{prometheus.NewRegistry()}}
	s.sink.Reject(rejectType("test.stress.bad"))
	odds := audittest.Odds{
		Fail: 0.1, FailAfterStoring: 0.1, Hang: 0.02, Slow: 0.1, LongestDelay: 2 * time.Millisecond, Duplicate: 0.05,
	}
	if err := s.sink.Misbehave(rand.NewPCG(1, 2), odds); err != nil {
		t.Fatal(err)
	}
	s.Store, err = audit.New(s.sink, audit.WithSpool(kept), audit.WithRegisterer(s.registry), audit.WithFullPolicy(audit.Spill),
		audit.WithBounds(200, audit.DefaultMaxBytes), audit.WithBatch(50, 1<<20), audit.WithInterval(time.Millisecond),
		audit.WithWriteTimeout(20*time.Millisecond), audit.WithBackoff(100*time.Microsecond, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStress lets everybody do everything at the same time, on a real disk and
// in real time. Nothing in it depends on how long anything takes.
func TestStress(t *testing.T) {
	t.Parallel()
	s := newStress(t)
	var recording, others sync.WaitGroup
	over, cancel := context.WithCancel(t.Context())
	defer cancel()
	for n := range stressRecorders {
		recording.Go(func() { s.record(t, n) })
	}
	for n := range stressFlushers {
		others.Go(func() { s.flush(over, t, n) })
	}
	for range stressAcknowledges {
		others.Go(func() { s.acknowledge(over, t) })
	}
	recording.Wait()
	cancel()
	others.Wait()
	s.end(t)
}

// record records events in all durabilities, every tenth of them bad, and
// checks what it was promised.
func (s *stress) record(t *testing.T, recorder int) {
	t.Helper()
	correlationID := fmt.Sprintf("recorder-%d", recorder)
	for n := range stressEvents {
		e := audittest.NewEvent("test.stress.event", correlationID)
		e.Data = fmt.Appendf(nil, `{"n":%d}`, n)
		if n%10 == 9 {
			e.Type, e.CorrelationID = "test.stress.bad", "bad"
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := s.RecordWith(ctx, e, audit.Durability(n%3))
		cancel()
		var rejected *audit.RejectedError
		switch {
		case err == nil, errors.As(err, &rejected):
			s.accepted.Add(1)
		case errors.Is(err, audit.ErrInDoubt):
			s.doubtful.Add(1)
		default:
			t.Errorf("record: %v", err)
		}
	}
	if _, err := s.FlushFor(t.Context(), correlationID); err != nil {
		t.Errorf("flush for %s: %v", correlationID, err)
	}
	if stored := len(s.sink.EventsOf(correlationID)); stored != stressEvents*9/10 {
		t.Errorf("flush for %s proved %d events, %d are stored", correlationID, stressEvents*9/10, stored)
	}
}

// flush flushes until it is over, every other time with little patience.
func (s *stress) flush(over context.Context, t *testing.T, flusher int) {
	t.Helper()
	for n := 0; over.Err() == nil; n++ {
		ctx, cancel := over, context.CancelFunc(func() {})
		if (n+flusher)%2 == 0 {
			ctx, cancel = context.WithTimeout(over, time.Millisecond)
		}
		_, err := s.Flush(ctx)
		cancel()
		var e *audit.FlushError
		if err != nil && !errors.As(err, &e) {
			t.Errorf("flush: %v", err)
		} else if err != nil && len(e.Lost)+e.LostUnnamed > 0 {
			t.Errorf("flush: %v, although the store is open", err)
		}
	}
}

// acknowledge takes note of every rejection that there is until it is over.
func (s *stress) acknowledge(over context.Context, t *testing.T) {
	t.Helper()
	for over.Err() == nil {
		list, err := s.Quarantine()
		if err != nil {
			t.Errorf("quarantine: %v", err)
			return
		}
		for _, q := range list {
			known, err := s.Acknowledge(q.ID)
			if err != nil {
				t.Errorf("acknowledge: %v", err)
			}
			s.acknowledged.Add(int64(known))
		}
	}
}

// end closes the store from several sides, with recorders at the door, and counts.
func (s *stress) end(t *testing.T) {
	t.Helper()
	var closing sync.WaitGroup
	var late atomic.Int64
	for range 4 {
		closing.Go(func() { s.closeAll(t) })
		closing.Go(func() {
			for {
				if err := s.Record(t.Context(), audittest.NewEvent("test.stress.late", "late")); err != nil {
					if !errors.Is(err, audit.ErrClosed) {
						t.Errorf("record: %v", err)
					}
					return
				}
				late.Add(1)
			}
		})
	}
	closing.Wait()
	const good, bad = stressRecorders * stressEvents * 9 / 10, stressRecorders * stressEvents / 10
	if s.accepted.Load() != good+bad || s.doubtful.Load() > 0 {
		t.Errorf("%d events accepted and %d in doubt, want %d and none", s.accepted.Load(), s.doubtful.Load(), good+bad)
	}
	if n := int64(len(s.sink.Events())); n != good+late.Load() {
		t.Errorf("%d events are stored, want %d good and %d late ones", n, good, late.Load())
	}
	if n := s.acknowledged.Load() + s.reported.Load(); n != bad {
		t.Errorf("%d rejections were acknowledged and %d reported at the end, want %d", s.acknowledged.Load(), s.reported.Load(), bad)
	}
	g := gauges(s.registry.Registry)
	if g["audit_accepted_total"] != float64(good+bad+late.Load()) || g["audit_rejected_total"] != bad ||
		g["audit_stored_total"] != float64(good+late.Load()) || g["audit_lost_total"]+g["audit_pending_events"] != 0 {
		t.Errorf("the metrics say %v", g)
	}
	for n := range stressRecorders {
		assertRising(t, s.sink.EventsOf(fmt.Sprintf("recorder-%d", n)))
	}
}

// closeAll closes, and notes how many rejections nobody acknowledged.
func (s *stress) closeAll(t *testing.T) {
	t.Helper()
	err := s.Close(t.Context())
	if err == nil {
		return
	}
	var e *audit.FlushError
	if !errors.As(err, &e) || e.Pending+len(e.Lost)+e.LostUnnamed > 0 {
		t.Errorf("close: %v", err)
		return
	}
	s.reported.Store(int64(len(e.Rejected) + e.RejectedUnnamed))
}

// assertRising wants the events in the order of their sequence numbers.
func assertRising(t *testing.T, events []audit.Event) {
	t.Helper()
	for i := 1; i < len(events); i++ {
		if events[i].Producer.Sequence <= events[i-1].Producer.Sequence {
			t.Fatalf("%s: %+v comes after %+v", events[i].CorrelationID, events[i].Producer, events[i-1].Producer)
		}
	}
}
