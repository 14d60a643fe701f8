package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// forbid makes a sink forbid the events whose type begins with a prefix.
func forbid(prefix string) func(audit.Event) error {
	return func(e audit.Event) error {
		if strings.HasPrefix(e.Type, prefix) {
			return fmt.Errorf("%w: needs create events.audit.kubernaut.ai %q", audit.ErrForbidden, prefix)
		}
		return nil
	}
}

// sizedEvent has data of about so many bytes.
func sizedEvent(correlationID string, size int) *audit.Event {
	e := audittest.NewEvent("test.stalled.event", correlationID)
	e.Data = fmt.Appendf(nil, `{"fill":%q}`, strings.Repeat("x", size))
	return e
}

// flushSoon wants a flush to succeed within a minute of a bubble.
func flushSoon(t *testing.T, s *audit.Store) {
	t.Helper()
	if _, err := flushWithin(t, s, time.Minute); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

// flushFails wants a flush in a bubble to fail.
func flushFails(t *testing.T, s *audit.Store) *audit.FlushError {
	t.Helper()
	return asFlushError(t, errorOf(flushWithin(t, s, time.Second)))
}

func TestF9_ATooLargeBatchIsHalvedUntilItPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, limit = 400, 64 << 10
		var logs bytes.Buffer
		registry := prometheus.NewPedanticRegistry()
		sink := audittest.NewMemorySink()
		sink.TakeAtMost(limit)
		s, err := audit.New(sink, audit.WithRegisterer(registry), audit.WithLogger(slog.New(slog.NewTextHandler(&logs, nil))))
		if err != nil {
			t.Fatal(err)
		}
		for n := range events {
			record(t, s, sizedEvent(fmt.Sprint("c-", n%7), 1000))
		}
		flushSoon(t, s)
		storedEvents(t, sink, events)

		first := sink.Writes()
		for n := range events {
			record(t, s, sizedEvent(fmt.Sprint("d-", n%7), 1000))
		}
		flushSoon(t, s)
		storedEvents(t, sink, 2*events)
		for _, n := range sink.Batches()[first:] {
			if n*(1000+1024) > limit {
				t.Errorf("a batch of %d events, although the limit is known", n)
			}
		}
		got := metricsOf(t, registry)["audit_batch_limit_bytes"]
		if got < limit/2 || got > limit {
			t.Errorf("audit_batch_limit_bytes %v, want %d to %d", got, limit/2, limit)
		}
		if n := strings.Count(logs.String(), "audit batches are too large"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, logs.String())
		}

		sink.TakeAtMost(0)
		for range 20 { // the limit is bounded in time
			<-time.After(10 * time.Minute)
			recordAll(t, s, "a")
			flush(t, s)
		}
		if got := metricsOf(t, registry)["audit_batch_limit_bytes"]; got != 0 {
			t.Errorf("audit_batch_limit_bytes is still %v", got)
		}
		if n := strings.Count(logs.String(), "audit batches may be as large as configured again"); n != 1 {
			t.Errorf("the end is logged %d times, want once:\n%s", n, logs.String())
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func TestF9_AStalledEventStaysPendingAndOthersGoOn(t *testing.T) {
	t.Parallel()
	for code, test := range map[string]struct {
		stall func(*audittest.MemorySink)
		cure  func(*audittest.MemorySink)
	}{
		audit.StalledTooLarge: {
			func(s *audittest.MemorySink) { s.TakeAtMost(64 << 10) },
			func(s *audittest.MemorySink) { s.TakeAtMost(0) },
		},
		audit.StalledForbidden: {
			func(s *audittest.MemorySink) { s.Reject(forbid("secret")) },
			func(s *audittest.MemorySink) { s.Reject(nil) },
		},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var logs bytes.Buffer
				registry := prometheus.NewPedanticRegistry()
				sink := audittest.NewMemorySink()
				test.stall(sink)
				s, err := audit.New(sink, audit.WithRegisterer(registry), audit.WithLogger(slog.New(slog.NewTextHandler(&logs, nil))))
				if err != nil {
					t.Fatal(err)
				}
				bad := sizedEvent("a", 100<<10)
				bad.Type = "secret.stalled.event"
				record(t, s, sizedEvent("a", 1000))
				record(t, s, bad)
				for range 50 {
					record(t, s, sizedEvent("a", 1000)) // of its own correlation id
					record(t, s, sizedEvent("b", 1000))
				}
				e := flushFails(t, s)
				if e.Pending != 1 || e.Stored != 101 || len(e.Rejected) != 0 || len(e.Stalled) != 1 || !errors.Is(e, context.DeadlineExceeded) {
					t.Fatalf("flush: %v", e)
				}
				if st := e.Stalled[0]; st.Code != code || st.Reason == "" || st.Type != bad.Type || st.CorrelationID != "a" {
					t.Errorf("stalled %+v", st)
				}
				if !strings.Contains(e.Error(), "1 of them are stalled, first secret.stalled.event") {
					t.Errorf("error %q does not name it", e)
				}
				if named := s.StalledEvents("a"); len(named) != 1 || named[0] != e.Stalled[0] || len(s.StalledEvents("b")) != 0 || s.State().Stalled != 1 {
					t.Errorf("stalled events %+v, state %+v", named, s.State())
				}
				if _, err := s.FlushFor(t.Context(), "b"); err != nil {
					t.Errorf("flush for another correlation id: %v", err)
				}
				if got := metricsOf(t, registry)["audit_stalled_events/"+code]; got != 1 {
					t.Errorf("audit_stalled_events %v", got)
				}
				writes := sink.Writes()
				<-time.After(time.Hour)
				if n := sink.Writes() - writes; n < 60 || n > 300 {
					t.Errorf("%d attempts in an hour, want one each 15 to 30 s", n)
				}
				if n := strings.Count(logs.String(), "level=WARN"); n > 2 || !strings.Contains(logs.String(), "audit event is stalled") {
					t.Errorf("logged:\n%s", logs.String())
				}

				test.cure(sink)
				<-time.After(time.Minute)
				synctest.Wait()
				if got := len(sink.EventsOf("a")); got != 52 {
					t.Errorf("%d of 52 events are stored after the cure", got)
				}
				flushSoon(t, s)
				if !strings.Contains(logs.String(), "audit events are no longer stalled") {
					t.Errorf("the end is not logged:\n%s", logs.String())
				}
				if got := metricsOf(t, registry)["audit_stalled_events/"+code]; got != 0 {
					t.Errorf("audit_stalled_events %v", got)
				}
				if err := s.Close(t.Context()); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		})
	}
}

// A permission that was granted lets through what waits for it, without a
// restart: a flush does not wait for a timer.
func TestF4_AFlushTriesStalledEventsAtOnce(t *testing.T) {
	t.Parallel()
	hooks := audittest.NewHooks()
	store, sink, _ := audittest.NewStore(t, audit.WithHook(hooks.Reached))
	sink.Reject(forbid("secret"))
	for n := range 2000 {
		e := audittest.NewEvent("secret.stalled.event", fmt.Sprint(n%3))
		if n%2 == 0 {
			e.Type = "test.stalled.event"
		}
		record(t, store, e)
	}
	first := startFlush(t, store)
	for {
		stalled := hooks.Next(audit.HookStalled)
		if hooks.Events(audit.HookStalled) == 1000 {
			break
		}
		if err := stalled(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first.stillRuns(t)
	sink.Reject(nil)
	if _, err := flushWithin(t, store, 10*time.Second); err != nil {
		t.Fatalf("flush: %.300v", err)
	}
	if _, err := first.wait(); err != nil {
		t.Errorf("first flush: %v", err)
	}
	storedEvents(t, sink, 2000)
}

// Many forbidden events are tried one of a kind, not all of them each time.
func TestF9_ARoundTriesOneEventOfAKind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(forbid("secret"))
		s, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3000 {
			e := audittest.NewEvent("secret.stalled.event", fmt.Sprint(n))
			record(t, s, e)
		}
		e := flushFails(t, s)
		if e.Pending != 3000 || len(e.Stalled) != 1000 || e.StalledUnnamed != 2000 {
			t.Errorf("%d pending, %d stalled and %d more", e.Pending, len(e.Stalled), e.StalledUnnamed)
		}
		before := len(sink.Batches())
		<-time.After(10 * time.Minute)
		for _, n := range sink.Batches()[before:] {
			if n != 1 {
				t.Errorf("a round sent %d events", n)
			}
		}
		expectAllStored(t, s, sink, 3000)
	})
}

// expectAllStored lets the sink take everything, and closes the store.
func expectAllStored(t *testing.T, s *audit.Store, sink *audittest.MemorySink, events int) {
	t.Helper()
	sink.Reject(nil)
	flushSoon(t, s)
	storedEvents(t, sink, events)
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// With more stalled events than half of the memory takes, others still go on.
func TestF6_StalledEventsTakeHalfOfTheMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(forbid("secret"))
		s, err := audit.New(sink, audit.WithBounds(100, audit.DefaultMaxBytes), audit.WithFullPolicy(audit.Refuse))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 80 {
			record(t, s, audittest.NewEvent("secret.stalled.event", fmt.Sprint(n)))
			_, _ = flushWithin(t, s, time.Second)
		}
		for range 50 {
			record(t, s, audittest.NewEvent("test.stalled.event", "good"))
			if _, err := s.FlushFor(t.Context(), "good"); err != nil {
				t.Fatalf("flush of a good one: %v", err)
			}
		}
		expectAllStored(t, s, sink, 130)
	})
}

func TestF8_StalledEventsSurviveTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewDisk()
		sink := audittest.NewMemorySink()
		sink.Reject(forbid("secret"))
		first := beginOver(t, openSpool(t, disk), sink)
		bad := numberedEvent("a", 0)
		bad.Type = "secret.spool.event"
		record(t, first.Store, bad)
		first.numbered(t, "a", 1, 5)
		e := flushFails(t, first.Store)
		if e.Pending != 1 || e.Spooled != 1 {
			t.Errorf("flush: %v", e)
		}
		for n := range 3 { // what is terminal is recorded with the next events
			first.numbered(t, "b", n, n+1)
			if _, err := first.FlushFor(t.Context(), "b"); err != nil {
				t.Errorf("flush: %v", err)
			}
			synctest.Wait()
		}
		first.kill(t, disk)
		sink.Reject(nil)
		second := beginOver(t, openSpool(t, disk), sink)
		flush(t, second.Store)
		if got := len(sink.EventsOf("a")); got != 5 {
			t.Errorf("%d of 5 events are stored", got)
		}
		second.end(t)
	})
}

// A stalled event is the oldest in the spool, and holds back the room of all that
// follow: it is moved, also when the spool is full.
func TestF6_AStalledEventDoesNotFillTheSpool(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"while others are stored": false, "after an outage that filled it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := spooltest.NewDisk()
				sink := audittest.NewMemorySink()
				sink.Reject(forbid("secret"))
				options := []spool.Option{spool.WithSegmentBytes(16 << 10), spool.WithMaxBytes(128 << 10)}
				l := beginOver(t, openSpool(t, disk, options...), sink, audit.WithFullPolicy(audit.Refuse))
				bad := numberedEvent("bad", 0)
				bad.Type = "secret.spool.event"
				record(t, l.Store, bad)
				_, _ = flushWithin(t, l.Store, time.Second)
				accepted := 0
				if down {
					sink.Fail(errDown)
					for ; ; accepted++ {
						if err := l.Record(t.Context(), numberedEvent("good", accepted)); err != nil {
							break
						}
					}
					sink.Recover()
					if _, err := l.FlushFor(t.Context(), "good"); err != nil {
						t.Fatalf("flush: %v", err)
					}
					synctest.Wait()
				}
				for range 500 {
					record(t, l.Store, numberedEvent("good", accepted))
					accepted++
					if _, err := l.FlushFor(t.Context(), "good"); err != nil {
						t.Fatalf("flush: %v", err)
					}
					synctest.Wait()
				}
				if got := len(sink.EventsOf("good")); got != accepted {
					t.Errorf("%d of %d events are stored", got, accepted)
				}
				l.kill(t, disk)
				sink.Reject(nil)
				next := beginOver(t, openSpool(t, disk, options...), sink)
				flush(t, next.Store)
				if got := len(sink.EventsOf("bad")); got != 1 {
					t.Errorf("%d of the stalled event are stored, want it once", got)
				}
				next.end(t)
			})
		})
	}
}

// A forbidden event that another answer rejects for good goes into quarantine.
func TestF2_AStalledEventCanBeRejectedLater(t *testing.T) {
	t.Parallel()
	store, sink, _ := audittest.NewStore(t)
	sink.Reject(forbid("secret"))
	bad := audittest.NewEvent("secret.stalled.event", "a")
	record(t, store, bad)
	over, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _ = store.Flush(over)
	sink.Reject(rejectType("secret.stalled.event"))
	e := asFlushError(t, errorOf(store.Flush(t.Context())))
	if len(e.Rejected) != 1 || e.Pending != 0 || len(e.Stalled) != 0 {
		t.Fatalf("flush: %v", e)
	}
	acknowledge(t, store, 1, e.Rejected[0].ID)
}

// Close does not wait beyond its context, and says what it leaves.
func TestF10_CloseNamesStalledEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := audittest.NewMemorySink()
		sink.Reject(forbid("secret"))
		s, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		record(t, s, audittest.NewEvent("secret.stalled.event", "a"))
		record(t, s, audittest.NewEvent("test.stalled.event", "a"))
		_ = flushFails(t, s)
		over, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e := asFlushError(t, s.Close(over))
		if len(e.Lost) != 1 || e.Lost[0].Type != "secret.stalled.event" {
			t.Errorf("close: %v", e)
		}
	})
}

// metricsOf has the values of gauges and counters by name, or name/label.
func metricsOf(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += "/" + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// A proxy may close the connection instead of saying that a batch is too large.
func TestF9_ABatchWhoseConnectionIsClosedAgainAndAgainIsHalved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		into := audittest.NewMemorySink()
		sink := &sinkFunc{write: func(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
			if len(batch) > 10 {
				return audit.Ack{}, &audit.SinkError{Err: fmt.Errorf("write: %w", syscall.ECONNRESET)}
			}
			return into.Write(ctx, batch)
		}}
		s, err := audit.New(sink)
		if err != nil {
			t.Fatal(err)
		}
		for range 400 {
			record(t, s, audittest.NewEvent("test.stalled.event", "a"))
		}
		if _, err := flushWithin(t, s, time.Hour); err != nil {
			t.Errorf("flush: %v", err)
		}
		storedEvents(t, into, 400)
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}
