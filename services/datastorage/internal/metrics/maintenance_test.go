package metrics

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/services/datastorage/internal/maintain"
	"kubernaut.ai/services/datastorage/internal/schema"
)

func TestTheLastSuccessOfMaintenanceIsKnownOnceThereWasOne(t *testing.T) {
	t.Parallel()
	began := time.Unix(1_795_000_000, 500_000_000)
	c := clocktesting.NewFakeClock(began)
	m := NewMaintenance(c, time.Minute)
	m.Ran(maintain.Report{}, true, errors.New("no rights"), time.Second)
	if n := testutil.CollectAndCount(m.success); n != 0 {
		t.Errorf("%d series before the first success", n)
	}
	m.Ran(maintain.Report{}, true, nil, time.Second)
	c.Step(time.Hour)
	m.Ran(maintain.Report{}, true, errors.New("no rights"), time.Second)
	if got := testutil.ToFloat64(m.success); got != 1_795_000_000.5 {
		t.Errorf("%v", got)
	}
	m.Ran(maintain.Report{}, false, nil, time.Second)
	if got := testutil.ToFloat64(m.success); got != 1_795_000_000.5 {
		t.Errorf("%v, although only erasures were carried out", got)
	}
	m.Ran(maintain.Report{}, true, maintain.ErrBusy, 0)
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

func TestThePartitionsAreShown(t *testing.T) {
	t.Parallel()
	m := NewMaintenance(clocktesting.NewFakeClock(time.Now()), time.Minute)
	m.Ran(maintain.Report{Room: schema.Room{Months: 5, Until: time.Unix(1_800_000_000, 0)}}, true, nil, time.Second)
	m.Ran(maintain.Report{}, false, nil, time.Second) // it did not look
	const want = `# HELP datastorage_maintenance_partitions Months that have a partition.
# TYPE datastorage_maintenance_partitions gauge
datastorage_maintenance_partitions 5
# HELP datastorage_maintenance_partitions_until_timestamp_seconds Until when every month from now on has a partition, in Unix seconds.
# TYPE datastorage_maintenance_partitions_until_timestamp_seconds gauge
datastorage_maintenance_partitions_until_timestamp_seconds 1.8e+09
`
	if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(want), "datastorage_maintenance_partitions", "datastorage_maintenance_partitions_until_timestamp_seconds"); err != nil {
		t.Error(err)
	}
}
