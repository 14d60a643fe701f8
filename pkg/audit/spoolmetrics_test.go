package audit_test

import (
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

func TestF12_TheSpoolIsObservable(t *testing.T) {
	t.Parallel()

	t.Run("metrics", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			disk := diskWithPending(t, 3)

			registry := prometheus.NewPedanticRegistry()
			sink := audittest.NewMemorySink()
			sink.Hang()
			l := begin(t, disk, sink, audit.WithRegisterer(registry), audit.WithBounds(4, audit.DefaultMaxBytes))
			synctest.Wait()
			l.numbered(t, "a", 3, 10)
			synctest.Wait()
			assertMetrics(t, registry, `
# HELP audit_accepted_total Events that Record accepted.
# TYPE audit_accepted_total counter
audit_accepted_total 7
# HELP audit_spilled_events Pending events that are in the spool only.
# TYPE audit_spilled_events gauge
audit_spilled_events 6
# HELP audit_batches_in_flight Batches that are being written.
# TYPE audit_batches_in_flight gauge
audit_batches_in_flight 1
# HELP audit_pending_events Events accepted, neither stored nor rejected yet.
# TYPE audit_pending_events gauge
audit_pending_events 10
# HELP audit_recovered_total Pending events that the spool had from an earlier process.
# TYPE audit_recovered_total counter
audit_recovered_total 3
# HELP audit_spilled_total Events put into the spool only, because memory was full or older ones were there.
# TYPE audit_spilled_total counter
audit_spilled_total 6
# HELP audit_spool_group_events Events that shared an fsync of the spool.
# TYPE audit_spool_group_events histogram
audit_spool_group_events_bucket{le="1"} 7
audit_spool_group_events_bucket{le="2"} 7
audit_spool_group_events_bucket{le="5"} 7
audit_spool_group_events_bucket{le="10"} 7
audit_spool_group_events_bucket{le="20"} 7
audit_spool_group_events_bucket{le="50"} 7
audit_spool_group_events_bucket{le="100"} 7
audit_spool_group_events_bucket{le="500"} 7
audit_spool_group_events_bucket{le="1000"} 7
audit_spool_group_events_bucket{le="+Inf"} 7
audit_spool_group_events_sum 7
audit_spool_group_events_count 7
`)
			assertPositive(t, registry, "audit_spool_bytes")
			sink.Recover()
			l.end(t)
		})
	})

	t.Run("one log line for each change of the spool's state", func(t *testing.T) {
		t.Parallel()
		var logs logbook
		disk := diskWithPending(t, 2)
		l := begin(t, disk, audittest.NewMemorySink(), audit.WithLogger(logs.logger()))
		flush(t, l.Store)
		for range 2 {
			for n := range 3 {
				disk.FailNext(spooltest.Write, false)
				if err := l.Record(t.Context(), numberedEvent("b", n)); err == nil {
					t.Error("record is nil although the disk failed")
				}
			}
			l.numbered(t, "b", 0, 3)
		}
		l.end(t)
		fails, works := "error: audit spool fails", "info: audit spool works again"
		logs.want(t, "info: audit spool has events of an earlier process", fails, works, fails, works)
	})
}

// assertPositive wants a gauge above 0.
func assertPositive(t *testing.T, registry prometheus.Gatherer, name string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			if v := family.GetMetric()[0].GetGauge().GetValue(); v <= 0 {
				t.Errorf("%s is %v, want more than 0", name, v)
			}
			return
		}
	}
	t.Errorf("no metric %s", name)
}

// Regression test: an operator could not see from outside that events were not
// accepted, that the spool was full, or how large it may be.
func TestF12_ARefusedRecordAndAFullSpoolAreVisible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		sink := downSink()
		const most = 128 << 10
		l := beginOver(t, openSpool(t, spooltest.NewDisk(), spool.WithSegmentBytes(16<<10), spool.WithMaxBytes(most)), sink,
			audit.WithFullPolicy(audit.Refuse), audit.WithRegisterer(registry))
		if got := metricsOf(t, registry); got["audit_spool_up"] != 1 || got["audit_spool_max_bytes"] != most {
			t.Errorf("at first: up %v, at most %v bytes", got["audit_spool_up"], got["audit_spool_max_bytes"])
		}
		if err := l.Record(t.Context(), audittest.NewEvent("Not A Type", "a")); err == nil {
			t.Error("an invalid event was accepted")
		}
		n := 0
		for ; ; n++ {
			if err := l.Record(t.Context(), numberedEvent("a", n)); err != nil {
				break
			}
		}
		if got := metricsOf(t, registry); got["audit_spool_up"] != 0 || got["audit_refused_total/full"] != 1 || got["audit_refused_total/invalid"] != 1 {
			t.Errorf("full: %v", got)
		}
		sink.Recover()
		flush(t, l.Store)
		synctest.Wait()
		record(t, l.Store, numberedEvent("a", n))
		if got := metricsOf(t, registry); got["audit_spool_up"] != 1 {
			t.Errorf("with room again: %v", got)
		}
		l.end(t)
		if err := l.Record(t.Context(), numberedEvent("a", n)); err == nil {
			t.Error("a closed store accepted an event")
		}
	})
}
