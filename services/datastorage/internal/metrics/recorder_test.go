package metrics

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestManyRecordersShareASeries(t *testing.T) {
	t.Parallel()
	c := newPerRecorder(prometheus.Opts{Name: "events_total"})
	c.add("nobody", 0)
	c.add("", 2)
	for i := range maxRecorders + 5 {
		c.add(fmt.Sprintf("recorder-%d", i), 1)
		c.add(fmt.Sprintf("recorder-%d", i), 1)
	}
	if n := testutil.CollectAndCount(c); n != maxRecorders+1 {
		t.Errorf("%d series", n)
	}
	for recorder, want := range map[string]float64{anonymousRecorder: 2, "recorder-0": 2, otherRecorders: 12} {
		if got := testutil.ToFloat64(c.WithLabelValues(recorder)); got != want {
			t.Errorf("%s: %v, want %v", recorder, got, want)
		}
	}
}
