package metrics

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/services/datastorage/internal/maintain"
)

func TestTheLastSuccessOfMaintenanceIsKnownOnceThereWasOne(t *testing.T) {
	t.Parallel()
	began := time.Unix(1_795_000_000, 500_000_000)
	c := clocktesting.NewFakeClock(began)
	m := NewMaintenance(c, time.Minute)
	m.Ran(maintain.Report{}, errors.New("no rights"), time.Second)
	if n := testutil.CollectAndCount(m.success); n != 0 {
		t.Errorf("%d series before the first success", n)
	}
	m.Ran(maintain.Report{}, nil, time.Second)
	c.Step(time.Hour)
	m.Ran(maintain.Report{}, errors.New("no rights"), time.Second)
	if got := testutil.ToFloat64(m.success); got != 1_795_000_000.5 {
		t.Errorf("%v", got)
	}
	m.Ran(maintain.Report{}, maintain.ErrBusy, 0)
	if got := testutil.ToFloat64(m.success); got != 1_795_000_000.5 {
		t.Errorf("%v, although nobody knows how the other run ends", got)
	}
}

func TestTheIntervalOfMaintenanceIsShown(t *testing.T) {
	t.Parallel()
	m := NewMaintenance(clocktesting.NewFakeClock(time.Now()), 90*time.Minute)
	const want = `# HELP datastorage_maintenance_interval_seconds Time between two runs, as configured.
# TYPE datastorage_maintenance_interval_seconds gauge
datastorage_maintenance_interval_seconds 5400
`
	if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(want), "datastorage_maintenance_interval_seconds"); err != nil {
		t.Error(err)
	}
}
