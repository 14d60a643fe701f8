package quota_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/quota"
)

type bundle struct {
	*quota.Quota

	clock   *clocktesting.FakePassiveClock
	handler toolscache.ResourceEventHandler
}

func setup(t *testing.T, limits quota.Limits, configured ...string) *bundle {
	t.Helper()
	b := &bundle{clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))}
	var err error
	b.Quota, err = quota.New(quota.Options{
		Limits: limits, Clock: b.clock, Configured: func() []string { return configured }, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.handler = b.Handler()
	return b
}

// fill reserves until a bound is exceeded, and returns how many were admitted.
func (b *bundle) fill(t *testing.T, p quota.Problem) (int, quota.Bound) {
	t.Helper()
	for n := range 10_000 {
		_, err := b.Reserve(p)
		if exceeded, ok := errors.AsType[*quota.ExceededError](err); ok {
			return n, exceeded.Bound
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no bound")
	return 0, ""
}

func request(name, namespace, sender string) *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name,
		Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway},
		Annotations: map[string]string{v1alpha1.AnnotationSender: sender},
	}}
}

func TestEachBoundKeepsATenthForCriticalProblems(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		limits quota.Limits
		bound  quota.Bound
	}{
		"sender":    {quota.Limits{PerSender: 50, PerNamespace: 100, Total: 100}, quota.BoundSender},
		"namespace": {quota.Limits{PerSender: 100, PerNamespace: 50, Total: 100}, quota.BoundNamespace},
		"total":     {quota.Limits{PerSender: 100, PerNamespace: 100, Total: 50}, quota.BoundTotal},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.limits, "a", "b")
			p := quota.Problem{Sender: "a", Namespace: "shop", Severity: "warning"}
			if n, bound := b.fill(t, p); n != 45 || bound != test.bound {
				t.Errorf("%d requests, then the bound of %s", n, bound)
			}
			p.Severity = "Critical"
			if n, bound := b.fill(t, p); n != 5 || bound != test.bound {
				t.Errorf("%d more critical requests, then the bound of %s", n, bound)
			}
		})
	}
}

func TestBoundsOfOneDoNotConcernOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, quota.Limits{PerSender: 10, PerNamespace: 20, Total: 1000}, "a", "b")
	b.fill(t, quota.Problem{Sender: "a", Namespace: "shop"})
	if n, bound := b.fill(t, quota.Problem{Sender: "b", Namespace: "shop"}); n != 9 || bound != quota.BoundSender {
		t.Errorf("%d requests of another sender, then the bound of %s", n, bound)
	}
	if _, err := b.Reserve(quota.Problem{Sender: "c", Namespace: "shop"}); err == nil {
		t.Error("the namespace has no bound")
	}
	if _, err := b.Reserve(quota.Problem{Sender: "c", Namespace: "prod"}); err != nil {
		t.Errorf("another namespace: %v", err)
	}
}

func TestTheBoundOfASenderAppliesOnlyAmongSeveral(t *testing.T) {
	t.Parallel()
	limits := quota.Limits{PerSender: 10, PerNamespace: 1000, Total: 1000}
	p := quota.Problem{Sender: "a", Namespace: "shop"}
	tests := map[string]struct {
		configured []string
		prepare    func(b *bundle)
		want       quota.Bound
	}{
		"nobody else is known": {nil, func(b *bundle) { b.Seen("a") }, quota.BoundNamespace},
		"another is listed":    {[]string{"a", "b"}, func(*bundle) {}, quota.BoundSender},
		"another was seen a moment less than a day ago": {nil, func(b *bundle) {
			b.Seen("b")
			b.clock.SetTime(b.clock.Now().Add(24*time.Hour - 1))
			b.Seen("a")
		}, quota.BoundSender},
		"another was seen a day ago": {nil, func(b *bundle) {
			b.Seen("b")
			b.clock.SetTime(b.clock.Now().Add(24 * time.Hour))
			b.Seen("a")
		}, quota.BoundNamespace},
		"another has a request of today": {nil, func(b *bundle) {
			r := request("rr", "shop", "b")
			r.CreationTimestamp = metav1.NewTime(b.clock.Now().Add(-time.Hour))
			b.handler.OnAdd(r, true)
			b.Seen("a")
		}, quota.BoundSender},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, limits, test.configured...)
			test.prepare(b)
			if _, bound := b.fill(t, p); bound != test.want {
				t.Errorf("bound of %s", bound)
			}
		})
	}
}

func TestASenderThatIsUnknownHasNoBound(t *testing.T) {
	t.Parallel()
	b := setup(t, quota.Limits{PerSender: 10, PerNamespace: 100, Total: 1000}, "a", "b")
	if _, bound := b.fill(t, quota.Problem{Namespace: "shop"}); bound != quota.BoundNamespace {
		t.Errorf("bound of %s", bound)
	}
}

func TestARequestCountsOnceUntilItEnds(t *testing.T) {
	t.Parallel()
	b := setup(t, quota.Limits{PerSender: 10, PerNamespace: 10, Total: 10})
	expect := func(when string, want int) {
		t.Helper()
		if got := b.Open(); got != want {
			t.Errorf("%s: %d requests count, want %d", when, got, want)
		}
	}
	r := request("rr", "shop", "a")
	reservation, err := b.Reserve(quota.Problem{Sender: "a", Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	expect("reserved", 1)
	reservation.For(types.NamespacedName{Namespace: "shop", Name: "rr"})
	b.handler.OnAdd(r, false)
	expect("reported", 1)
	reservation.Release()
	expect("released after the report", 1)
	b.handler.OnUpdate(r, r)
	expect("updated", 1)
	finished := r.DeepCopy()
	finished.Status.Phase = v1alpha1.RemediationCompleted
	b.handler.OnUpdate(r, finished)
	expect("finished", 0)
	b.handler.OnDelete(toolscache.DeletedFinalStateUnknown{Obj: finished})
	expect("deleted", 0)

	released, err := b.Reserve(quota.Problem{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	released.Release()
	released.Release()
	expect("released", 0)
}

func TestAReservationEndsEvenIfItsRequestIsNeverReported(t *testing.T) {
	t.Parallel()
	b := setup(t, quota.Limits{PerSender: 10, PerNamespace: 1, Total: 10})
	p := quota.Problem{Namespace: "shop"}
	first, err := b.Reserve(p)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.SetTime(b.clock.Now().Add(10*time.Minute - 1))
	if _, err := b.Reserve(p); err == nil {
		t.Error("the reservation ended too early")
	}
	b.clock.SetTime(b.clock.Now().Add(1))
	if _, err := b.Reserve(p); err != nil {
		t.Errorf("the reservation lasts: %v", err)
	}
	first.Release()
	if b.Open() != 1 {
		t.Errorf("%d requests count", b.Open())
	}
}

func TestSomeRequestsDoNotCount(t *testing.T) {
	t.Parallel()
	deleted := metav1.Now()
	tests := map[string]func(*v1alpha1.RemediationRequest){
		"created by hand": func(r *v1alpha1.RemediationRequest) { r.Labels = nil },
		"overflow":        func(r *v1alpha1.RemediationRequest) { r.Spec.SignalType = v1alpha1.SignalTypeOverflow },
		"being deleted":   func(r *v1alpha1.RemediationRequest) { r.DeletionTimestamp = &deleted },
		"finished":        func(r *v1alpha1.RemediationRequest) { r.Status.Phase = v1alpha1.RemediationSkipped },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, quota.Limits{PerSender: 10, PerNamespace: 10, Total: 10})
			r := request("rr", "shop", "a")
			change(r)
			b.handler.OnAdd(r, true)
			if b.Open() != 0 {
				t.Errorf("%d requests count", b.Open())
			}
		})
	}
}

func TestBoundsMustBePositive(t *testing.T) {
	t.Parallel()
	for _, limits := range []quota.Limits{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}} {
		if _, err := quota.New(quota.Options{Limits: limits, Registerer: prometheus.NewRegistry()}); err == nil {
			t.Errorf("%+v is accepted", limits)
		}
	}
}

func TestSendersThatAreRememberedAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, quota.Limits{PerSender: 10, PerNamespace: 100, Total: 100})
	for n := range 5000 {
		b.Seen(fmt.Sprint("sender-", n))
	}
	if n := b.Senders(); n != 1000 {
		t.Errorf("%d senders are remembered", n)
	}
}
