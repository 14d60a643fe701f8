package occurrence_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/signal"
)

// story is a request whose signals arrive one after the other.
type story struct {
	t       *testing.T
	client  client.Client
	counter *occurrence.Counter
	start   time.Time
}

// firstLabels are the labels of the signal that created the request.
func firstLabels() map[string]string { return map[string]string{"pod": "p-1"} }

// tell runs a story in a synctest bubble. Seconds count from its start.
func tell(t *testing.T, steps func(s *story)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		at := metav1.NewMicroTime(time.Now())
		rr := &v1alpha1.RemediationRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "rr-1", UID: "uid-1"},
			Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
				Severity: "warning", Labels: firstLabels(), FiringTime: at, ReceivedTime: at,
				TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "p-1"},
			}},
		}
		c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(rr).WithStatusSubresource(rr).Build()
		counter, err := occurrence.NewCounter(occurrence.Options{
			Writer: occurrence.NewStatusWriter(c), Clock: clock.RealClock{}, Log: zap.NewNop(), Capacity: 10, Registerer: prometheus.NewRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- counter.Run(ctx, func() time.Duration { return time.Minute }) }()
		steps(&story{t: t, client: c, counter: counter, start: time.Now()})
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (s *story) request() *v1alpha1.RemediationRequest {
	s.t.Helper()
	rr := &v1alpha1.RemediationRequest{}
	if err := s.client.Get(s.t.Context(), client.ObjectKey{Namespace: "prod", Name: "rr-1"}, rr); err != nil {
		s.t.Fatal(err)
	}
	return rr
}

// report lets a signal arrive, as the Gateway handles it, and returns what it changed.
func (s *story) report(r occurrence.Report) occurrence.Change {
	s.t.Helper()
	r.Seen = time.Now()
	rr := s.request()
	change := s.counter.Change(rr, r)
	r.Beyond = change.Beyond
	key := occurrence.Request{NamespacedName: client.ObjectKeyFromObject(rr), UID: rr.UID}
	write := s.counter.Count
	if change.Any() {
		write = s.counter.Apply
	}
	if change.Any() || change.Beyond || !r.Resolved {
		if err := write(s.t.Context(), key, r); err != nil {
			s.t.Fatal(err)
		}
	}
	return change
}

// list lets a number of instances fire, which are i0 and so on.
func (s *story) list(count int) {
	s.t.Helper()
	rr := s.request()
	signals := occurrence.Signals(rr).DeepCopy()
	signals.Instances = nil
	for i := range count {
		signals.Instances = append(signals.Instances, v1alpha1.SignalInstance{ID: fmt.Sprint("i", i)})
	}
	rr.Status.Signals = signals
	if err := s.client.Status().Update(s.t.Context(), rr); err != nil {
		s.t.Fatal(err)
	}
}

// fires reports that an instance fires since a second of the story.
func (s *story) fires(id, severity string, since int) occurrence.Change {
	s.t.Helper()
	return s.report(occurrence.Report{ID: id, Name: "Pod/" + id, Severity: severity, StartsAt: s.at(since)})
}

// ends reports that an instance ceased to fire at a second of the story.
func (s *story) ends(id string, at int) occurrence.Change {
	s.t.Helper()
	return s.report(occurrence.Report{ID: id, Resolved: true, EndedAt: s.at(at)})
}

func (s *story) at(second int) time.Time { return s.start.Add(time.Duration(second) * time.Second) }

// wait lets time pass, so that what is pending is written.
func (*story) wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// expect compares the firing instances, and whether the problem is over.
func (s *story) expect(over bool, ids ...string) {
	s.t.Helper()
	signals := occurrence.Signals(s.request())
	got := make([]string, 0, len(signals.Instances))
	for _, i := range signals.Instances {
		got = append(got, i.ID)
	}
	if !slices.Equal(got, ids) {
		s.t.Errorf("instances %v fire, want %v", got, ids)
	}
	if (signals.EndedAt != nil) != over {
		s.t.Errorf("ended at %v, want over: %v", signals.EndedAt, over)
	}
}

func TestAProblemIsOverWhenNoInstanceFires(t *testing.T) {
	t.Parallel()
	first := signal.InstanceID(firstLabels())
	tell(t, func(s *story) {
		s.expect(false, first)
		if c := s.fires("sibling", "warning", 1); !c.Instance || c.NewSeverity != "" {
			t.Errorf("a new instance changes %+v", c)
		}
		s.expect(false, first, "sibling")
		if c := s.fires("sibling", "warning", 1); c.Any() {
			t.Errorf("a repeated signal changes %+v", c)
		}
		s.wait(2 * time.Second)
		s.ends(first, 2)
		s.expect(false, "sibling")
		if c := s.ends(first, 2); c.Any() {
			t.Errorf("a repeated end changes %+v", c)
		}
		s.ends("stranger", 2)
		s.expect(false, "sibling")
		s.ends("sibling", 2)
		s.expect(true)
		s.fires("sibling", "warning", 3)
		s.expect(false, "sibling")
	})
}

func TestTheFirstInstanceEndsARequestWithoutSiblings(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		s.wait(time.Minute)
		s.ends(signal.InstanceID(firstLabels()), 30)
		s.expect(true)
		if got := s.request().Status.Signals; !slices.Equal(got.Severities, []string{"warning"}) {
			t.Errorf("severities %v, want that of the spec", got.Severities)
		}
	})
}

func TestSeveritiesAreListedInTheOrderOfTheirArrival(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		want := occurrence.Change{Instance: true, OldSeverity: "warning", NewSeverity: "critical"}
		if c := s.fires("critical", "critical", 1); c != want {
			t.Errorf("changes %+v, want %+v", c, want)
		}
		if c := s.fires("critical", "critical", 1); c.Any() {
			t.Errorf("a known severity changes %+v", c)
		}
		if c := s.fires("other", "warning", 1); c.NewSeverity != "" {
			t.Errorf("a lower severity that is known changes %+v", c)
		}
		if c := s.fires("none", "", 1); c.NewSeverity != "" {
			t.Errorf("no severity changes %+v", c)
		}
		for i := range v1alpha1.MaxSignalSeverities {
			s.fires("other", fmt.Sprint("s", i), 1)
		}
		s.wait(2 * time.Second)
		got := s.request().Status.Signals.Severities
		if len(got) != v1alpha1.MaxSignalSeverities || got[0] != "warning" || got[1] != "critical" || got[2] != "s0" {
			t.Errorf("severities %v, want the first %d", got, v1alpha1.MaxSignalSeverities)
		}
	})
}

func TestInstancesBeyondTheBoundAreCounted(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		s.list(v1alpha1.MaxSignalInstances - 1)
		if c := s.fires("last", "warning", 1); !c.Instance {
			t.Errorf("the last instance of the list changes %+v", c)
		}
		if c := s.fires("beyond", "warning", 1); !c.Instance {
			t.Errorf("the first instance beyond the list changes %+v", c)
		}
		if c := s.fires("more", "warning", 1); c.Any() || !c.Beyond {
			t.Errorf("the next one changes %+v, want one that only counts", c)
		}
		s.wait(2 * time.Second)
		signals := s.request().Status.Signals
		if len(signals.Instances) != v1alpha1.MaxSignalInstances || signals.More != 2 || signals.MoreSeenAt == nil {
			t.Fatalf("%d instances and %d more, want %d and 2", len(signals.Instances), signals.More, v1alpha1.MaxSignalInstances)
		}
		s.wait(2 * time.Second)
		if c := s.fires("beyond", "warning", 1); c.Any() {
			t.Errorf("an instance that was counted changes %+v", c)
		}
		s.wait(2 * time.Second)
		if later := s.request().Status.Signals; later.More != 2 || !signals.MoreSeenAt.Before(later.MoreSeenAt) {
			t.Errorf("%d more, seen at %v", later.More, later.MoreSeenAt)
		}
		s.ends("i7", 3)
		s.fires("beyond", "warning", 1)
		if got := s.request().Status.Signals; len(got.Instances) != v1alpha1.MaxSignalInstances || got.More != 1 {
			t.Errorf("%d instances and %d more after one moved to the list", len(got.Instances), got.More)
		}
		s.list(1)
		s.ends("i0", 4)
		s.expect(false) // one that is not listed may fire still
	})
}

func TestTheEndsOfInstancesBeyondTheBoundAreCounted(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		s.list(v1alpha1.MaxSignalInstances)
		s.fires("beyond", "warning", 1)
		s.fires("more", "warning", 1)
		s.wait(2 * time.Second)
		if c := s.ends("beyond", 3); c.Any() || !c.Beyond {
			t.Errorf("the end of an instance beyond the list changes %+v", c)
		}
		s.wait(2 * time.Second)
		if c := s.ends("beyond", 3); c.Any() || c.Beyond {
			t.Errorf("its end changes %+v again", c)
		}
		if c := s.ends("unknown", 3); c.Any() || c.Beyond {
			t.Errorf("the end of an unknown instance changes %+v", c)
		}
		if got := s.request().Status.Signals.More; got != 1 {
			t.Errorf("%d more fire, want 1", got)
		}
		for i := range v1alpha1.MaxSignalInstances {
			s.ends(fmt.Sprint("i", i), 4)
		}
		if got := s.request().Status.Signals; len(got.Instances) != 0 || got.EndedAt != nil {
			t.Errorf("%d listed, ended at %v although one fires", len(got.Instances), got.EndedAt)
		}
		s.ends("more", 5)
		s.wait(2 * time.Second)
		if got := s.request().Status.Signals; got.More != 0 || got.EndedAt == nil {
			t.Errorf("%d more, ended at %v although none fires", got.More, got.EndedAt)
		}
	})
}

func TestSignalsOutOfOrder(t *testing.T) {
	t.Parallel()
	first := signal.InstanceID(firstLabels())
	t.Run("a firing signal that its end has overtaken lists nothing", func(t *testing.T) {
		t.Parallel()
		tell(t, func(s *story) {
			s.wait(time.Minute)
			s.ends(first, 30)
			if c := s.fires(first, "warning", 0); c.Any() {
				t.Errorf("changes %+v", c)
			}
			s.wait(2 * time.Second)
			s.expect(true)
		})
	})
	t.Run("also if the end arrived before all others", func(t *testing.T) {
		t.Parallel()
		tell(t, func(s *story) {
			s.wait(time.Minute)
			s.ends("sibling", 30)
			s.fires("sibling", "warning", 1)
			s.expect(false, first)
		})
	})
	t.Run("an instance that fires again is listed", func(t *testing.T) {
		t.Parallel()
		tell(t, func(s *story) {
			s.wait(time.Minute)
			s.ends(first, 30)
			s.fires(first, "warning", 31)
			s.expect(false, first)
		})
	})
	t.Run("an alert that goes on with its old start after a gap is listed", func(t *testing.T) {
		t.Parallel()
		tell(t, func(s *story) {
			s.wait(time.Minute)
			s.ends(first, 30)
			s.wait(5*time.Minute - time.Microsecond)
			s.fires(first, "warning", 0)
			s.expect(true)
			s.wait(time.Microsecond)
			s.fires(first, "warning", 0)
			s.expect(false, first)
		})
	})
	t.Run("an end from before the instance fired again ends nothing", func(t *testing.T) {
		t.Parallel()
		tell(t, func(s *story) {
			s.wait(time.Minute)
			s.ends(first, 30)
			s.fires(first, "warning", 40)
			if c := s.ends(first, 30); c.Any() {
				t.Errorf("changes %+v", c)
			}
			s.expect(false, first)
		})
	})
}

func TestAMemberOfAnOverflowRequestIsInTheStatusOnly(t *testing.T) {
	t.Parallel()
	rr := &v1alpha1.RemediationRequest{}
	rr.Spec.SignalType, rr.Spec.Severity = v1alpha1.SignalTypeOverflow, "warning"
	if signals := occurrence.Signals(rr); len(signals.Instances) != 0 {
		t.Errorf("instances %v, want none", signals.Instances)
	}
}
