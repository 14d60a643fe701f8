package metrics

import (
	"errors"
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
	m := NewMaintenance(c)
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
