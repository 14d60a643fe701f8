package occurrence_test

import (
	"fmt"
	"testing"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/signal"
)

// started expects the second at which the latest firing began.
func (s *story) started(second int) {
	s.t.Helper()
	if got := s.request().Status.Signals.LatestStartsAt; got == nil || !got.Time.Equal(s.at(second).Truncate(time.Microsecond)) {
		s.t.Errorf("latest start %v, want second %d", got, second)
	}
}

// repeats reports an instance whose source does not say since when it fires.
func (s *story) repeats(id string) occurrence.Change {
	s.t.Helper()
	return s.report(occurrence.Report{ID: id, Name: "Pod/" + id, Severity: "warning", StartsAt: time.Now(), StartAssumed: true})
}

// What fired in between is seen by whoever looks later.
func TestTheLatestStartOutlastsItsInstance(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		s.fires("a", "warning", 1)
		s.started(1)
		s.fires("b", "warning", 5)
		s.ends("b", 6)
		s.started(5)
		s.fires("a", "warning", 7) // a plain duplicate that began anew
		s.wait(2 * time.Second)
		s.started(7)
		s.fires("a", "warning", 3)
		s.wait(2 * time.Second)
		s.started(7)
	})
}

func TestARepeatWithoutAStartIsNoNewStart(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		s.wait(10 * time.Second)
		if c := s.repeats("a"); !c.Instance {
			t.Errorf("a new instance changes %+v", c)
		}
		s.started(10) // since it is known
		s.wait(10 * time.Second)
		if c := s.repeats("a"); c.Any() {
			t.Errorf("a repeat changes %+v", c)
		}
		s.wait(2 * time.Second)
		s.started(10)
		signals := s.request().Status.Signals
		if a := signals.Instances[1]; !a.StartsAt.Equal(signals.LatestStartsAt) || !a.LastSeenAt.After(s.at(19)) {
			t.Errorf("the instance fires since %v and was seen at %v", a.StartsAt, a.LastSeenAt)
		}
		s.ends("a", 22)
		s.wait(10 * time.Second)
		s.repeats("a") // it fires anew
		s.started(32)
	})
}

// The request's first instance is in its spec until something is written.
func TestARepeatOfTheFirstInstanceWithoutAStartIsNoNewStart(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		s.wait(10 * time.Second)
		s.repeats(signal.InstanceID(firstLabels()))
		s.wait(2 * time.Second)
		rr := s.request()
		if latest := rr.LatestStart(); !latest.Equal(&rr.Spec.FiringTime) {
			t.Errorf("the latest start is %v, want that of the first signal, %v", latest, rr.Spec.FiringTime)
		}
	})
}

// A new severity is a change of state, but no new start.
func TestARepeatWithoutAStartThatChangesTheSeverityIsNoNewStart(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		s.repeats("a")
		s.wait(10 * time.Second)
		c := s.report(occurrence.Report{ID: "a", Severity: "critical", StartsAt: time.Now(), StartAssumed: true})
		if c.NewSeverity != "critical" {
			t.Errorf("changes %+v", c)
		}
		s.started(0)
	})
}

// Another replica of the sender, or a delayed one, may repeat what it knew before.
func TestAStartIsNotLostToARepeatRightAfterIt(t *testing.T) {
	t.Parallel()
	first := signal.InstanceID(firstLabels())
	for name, repeat := range map[string]func(s *story){
		"with the start before": func(s *story) { s.fires(first, "warning", 0) },
		"without a start":       func(s *story) { s.repeats(first) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tell(t, func(s *story) {
				s.fires(first, "warning", 0)
				s.wait(100 * time.Second)
				s.fires(first, "warning", 90)
				s.fires(first, "warning", 95) // is written with the repeat
				s.wait(time.Millisecond)
				repeat(s)
				s.wait(2 * time.Second)
				s.started(95)
				if got := s.request().Status.Signals.Instances[0].StartsAt; !got.Time.Equal(s.at(95).Truncate(time.Microsecond)) {
					t.Errorf("the instance fires since %v", got)
				}
			})
		})
	}
}

func TestInstancesBeyondTheBoundHaveStarts(t *testing.T) {
	t.Parallel()
	tell(t, func(s *story) {
		s.list(v1alpha1.MaxSignalInstances)
		s.fires("beyond", "warning", 1)
		s.started(1)
		for i := range v1alpha1.MaxSignalInstances + 10 { // more than a batch lists
			s.fires(fmt.Sprint("more", i), "warning", 2+i)
		}
		s.wait(2 * time.Second)
		s.started(v1alpha1.MaxSignalInstances + 11)
		s.wait(1000 * time.Second)
		s.repeats("beyond")
		s.wait(2 * time.Second)
		s.started(v1alpha1.MaxSignalInstances + 11)
	})
}
