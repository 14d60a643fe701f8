package admission_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/services/gateway/internal/admission"
)

var policy = admission.Denial{Kind: admission.KindPolicy, Name: "p"}

func track(t *testing.T) (*admission.Tracker, *clocktesting.FakePassiveClock, *prometheus.Registry) {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	registry := prometheus.NewRegistry()
	tracker, err := admission.NewTracker(clock, registry)
	if err != nil {
		t.Fatal(err)
	}
	return tracker, clock, registry
}

func key(name string) types.NamespacedName { return types.NamespacedName{Namespace: "ns", Name: name} }

func TestADenialLastsAfterAnHour(t *testing.T) {
	t.Parallel()
	tracker, clock, _ := track(t)
	begin := clock.Now()
	tracker.Deny("f", key("rr-1"), policy)
	clock.SetTime(begin.Add(time.Hour - time.Nanosecond))
	if d := tracker.Deny("f", key("rr-2"), policy); d.Lasting || d.Request != key("rr-1") || !d.Since.Equal(begin) {
		t.Errorf("%+v a moment before the hour", d)
	}
	clock.SetTime(begin.Add(time.Hour))
	if d := tracker.Deny("f", key("rr-3"), policy); !d.Lasting || d.Request != key("rr-1") {
		t.Errorf("%+v after an hour", d)
	}
	if d := tracker.Deny("g", key("rr-4"), policy); d.Lasting {
		t.Errorf("%+v of another problem", d)
	}
}

func TestADenialEndsWithADeliveryOrALongGap(t *testing.T) {
	t.Parallel()
	tracker, clock, _ := track(t)
	tracker.Deny("f", key("rr-1"), policy)
	clock.SetTime(clock.Now().Add(6 * time.Hour))
	if d := tracker.Deny("f", key("rr-2"), policy); !d.Lasting {
		t.Errorf("%+v after six hours", d)
	}
	clock.SetTime(clock.Now().Add(6*time.Hour + time.Nanosecond))
	if d := tracker.Deny("f", key("rr-3"), policy); d.Lasting || d.Request != key("rr-3") {
		t.Errorf("%+v after a gap", d)
	}
	tracker.Deliver("f")
	if d, known := tracker.Get("f"); known {
		t.Errorf("%+v after the delivery", d)
	}
}

func TestUndeliverableProblemsAreCountedUntilTheyEnd(t *testing.T) {
	t.Parallel()
	tracker, clock, registry := track(t)
	expect := func(count int) {
		t.Helper()
		text := fmt.Sprintf(`
# HELP gateway_undeliverable_problems Problems whose request the cluster has denied for too long.
# TYPE gateway_undeliverable_problems gauge
gateway_undeliverable_problems %d
`, count)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(text), "gateway_undeliverable_problems"); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		tracker.Deny("f", key("rr-1"), policy)
		tracker.Deny("g", key("rr-2"), policy)
		clock.SetTime(clock.Now().Add(time.Hour))
	}
	expect(2)
	tracker.Deliver("f")
	expect(1)
	tracker.Resolve("g")
	expect(0)
	if d := tracker.Deny("g", key("rr-3"), policy); !d.Lasting {
		t.Errorf("%+v of an alert that flaps", d)
	}
	clock.SetTime(clock.Now().Add(6 * time.Hour))
	expect(1)
	clock.SetTime(clock.Now().Add(time.Nanosecond))
	expect(0)
}

func TestDenialsAreBounded(t *testing.T) {
	t.Parallel()
	tracker, clock, registry := track(t)
	for i := range 10_001 {
		clock.SetTime(clock.Now().Add(time.Millisecond))
		tracker.Deny(fmt.Sprint("f", i), key("rr"), admission.Denial{Kind: admission.KindWebhook, Name: fmt.Sprint("w", i)})
	}
	if _, known := tracker.Get("f0"); known {
		t.Error("the oldest of too many problems is still tracked")
	}
	const problems = `
# HELP gateway_denied_problems Problems whose request the cluster denied the last time.
# TYPE gateway_denied_problems gauge
gateway_denied_problems 10000
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(problems), "gateway_denied_problems"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "gateway_admission_denials_total"); err != nil || n != 65 {
		t.Errorf("%d series and %v, want 64 names and one for the others", n, err)
	}
}
