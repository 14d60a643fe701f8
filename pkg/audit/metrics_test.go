package audit_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

func TestF12_TheStoreIsObservable(t *testing.T) {
	t.Parallel()

	t.Run("metrics", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			store, sink, clock := audittest.NewStore(t, audit.WithRegisterer(registry))
			sink.Reject(rejectType("test.metrics.bad"))
			sink.FailNextAfterStoring(errDown)
			record(t, store, audittest.NewEvent("test.metrics.good", "a"))
			record(t, store, audittest.NewEvent("test.metrics.good", "a"))
			clock.Step(audit.DefaultInterval)
			synctest.Wait()
			clock.Step(150 * time.Millisecond)
			synctest.Wait()
			record(t, store, audittest.NewEvent("test.metrics.bad", "a"))
			e := asFlushError(t, errorOf(store.Flush(t.Context())))
			sink.Fail(errDown)
			record(t, store, audittest.NewEvent("test.metrics.pending", "b"))
			clock.Step(audit.DefaultInterval)
			synctest.Wait()
			record(t, store, audittest.NewEvent("test.metrics.pending", "b")) // its age is not the oldest
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := store.FlushFor(ended, "b"); err == nil {
				t.Error("flush into a dead sink is nil")
			}
			synctest.Wait()

			assertMetrics(t, registry, `
# HELP audit_accepted_total Events that Record accepted.
# TYPE audit_accepted_total counter
audit_accepted_total 5
# HELP audit_duplicates_total Acknowledged events that the sink had stored before.
# TYPE audit_duplicates_total counter
audit_duplicates_total 2
# HELP audit_flushes_total Flushes by result: stored, rejected, lost, pending.
# TYPE audit_flushes_total counter
audit_flushes_total{result="lost"} 0
audit_flushes_total{result="pending"} 1
audit_flushes_total{result="rejected"} 1
audit_flushes_total{result="stored"} 0
# HELP audit_lost_total Events that will not be stored: pending when the store gave up, or damaged in the spool.
# TYPE audit_lost_total counter
audit_lost_total 0
# HELP audit_oldest_pending_age_seconds How long the oldest pending event has waited.
# TYPE audit_oldest_pending_age_seconds gauge
audit_oldest_pending_age_seconds 0.1
# HELP audit_pending_bytes Size of the pending events, in memory or in the spool.
# TYPE audit_pending_bytes gauge
audit_pending_bytes 2138
# HELP audit_pending_events Events accepted, neither stored nor rejected yet.
# TYPE audit_pending_events gauge
audit_pending_events 2
# HELP audit_rejected_total Events that the sink rejected for good.
# TYPE audit_rejected_total counter
audit_rejected_total 1
# HELP audit_retries_total Failed batch writes that were, or will be, repeated.
# TYPE audit_retries_total counter
audit_retries_total 3
# HELP audit_sink_up 0 while the last write failed, else 1.
# TYPE audit_sink_up gauge
audit_sink_up 0
# HELP audit_stored_total Events that the sink acknowledged.
# TYPE audit_stored_total counter
audit_stored_total 2
# HELP audit_unacknowledged_events Rejected and lost events that nobody acknowledged.
# TYPE audit_unacknowledged_events gauge
audit_unacknowledged_events 1
`)
			for name, want := range map[string]int{"audit_batch_events": 1, "audit_write_duration_seconds": 1, "audit_flush_duration_seconds": 1} {
				if n, err := testutil.GatherAndCount(registry, name); err != nil || n != want {
					t.Errorf("%d metrics %s, %v, want %d", n, name, err, want)
				}
			}
			sink.Recover()
			for _, r := range e.Rejected {
				acknowledge(t, store, 1, r.ID)
			}
			flush(t, store)
			assertMetrics(t, registry, `
# HELP audit_sink_up 0 while the last write failed, else 1.
# TYPE audit_sink_up gauge
audit_sink_up 1
# HELP audit_unacknowledged_events Rejected and lost events that nobody acknowledged.
# TYPE audit_unacknowledged_events gauge
audit_unacknowledged_events 0
`)
		})
	})

	t.Run("the documentation names each of them", func(t *testing.T) {
		t.Parallel()
		registry := prometheus.NewRegistry()
		audittest.NewStore(t, audit.WithRegisterer(registry))
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		registered := make([]string, 0, len(families))
		for _, family := range families {
			registered = append(registered, strings.TrimPrefix(family.GetName(), "audit_"))
		}
		text, err := os.ReadFile("doc.go")
		if err != nil {
			t.Fatal(err)
		}
		row := regexp.MustCompile(`(?m)^//\t([a-z_]+)(?:\{[a-z]+\})? +(?:counter|gauge|histogram) `)
		rows := row.FindAllStringSubmatch(string(text), -1)
		documented := make([]string, 0, len(rows))
		for _, match := range rows {
			documented = append(documented, match[1])
		}
		slices.Sort(documented)
		if !slices.Equal(registered, documented) {
			t.Errorf("registered:\n%v\ndocumented:\n%v", registered, documented)
		}
	})

	t.Run("a registerer serves one store at a time", func(t *testing.T) {
		t.Parallel()
		registry := prometheus.NewRegistry()
		first, _, _ := audittest.NewStore(t, audit.WithRegisterer(registry))
		if _, err := audit.New(audittest.NewMemorySink(), audit.WithRegisterer(registry)); err == nil {
			t.Error("two stores share a registerer")
		}
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		audittest.NewStore(t, audit.WithRegisterer(registry))
	})

	t.Run("one log line for each change of the sink's state", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var logs logbook
			store, sink, clock := audittest.NewStore(t, audit.WithLogger(logs.logger()))
			for range 2 {
				sink.FailNext(errDown, errDown, errDown)
				for range 10 {
					record(t, store, audittest.NewEvent("test.log.event", "a"))
				}
				for range 6 {
					clock.Step(time.Minute)
					synctest.Wait()
				}
			}
			down, back := "warn: audit sink down, events stay pending", "info: audit sink back"
			logs.want(t, down, back, down, back)
		})
	})
}

// assertMetrics compares the metrics that the text mentions.
func assertMetrics(t *testing.T, registry prometheus.Gatherer, text string) {
	t.Helper()
	var names []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == "TYPE" {
			names = append(names, fields[2])
		}
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(text), names...); err != nil {
		t.Error(err)
	}
}
