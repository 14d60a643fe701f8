package occurrence

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Report is what one signal says about an instance of an existing request.
type Report struct {
	// ID, Name and Severity are those of v1alpha1.SignalInstance.
	ID, Name, Severity string
	// StartsAt is when the instance began to fire. StartAssumed means that the source does not say
	// it, and that it is the time of receipt: then only a new instance has a start.
	StartsAt     time.Time
	StartAssumed bool
	// Seen is when the signal arrived.
	Seen time.Time
	// Beyond is that of the change which the report makes.
	Beyond bool
	// Resolved means that the instance does not fire any more.
	Resolved bool
	// EndedAt is when the instance ceased to fire according to the source; zero if it does not say.
	EndedAt time.Time
}

// Change is what a report changes in a request's instances. The zero Change
// stands for a plain duplicate.
type Change struct {
	// Instance means that an instance began or ceased to fire.
	Instance bool
	// Beyond means that the instance is one of those that are not listed, and not
	// the first: that it fires, or ceases to, only counts.
	Beyond bool
	// NewSeverity is a severity that the request has not had, OldSeverity the one that it had last.
	OldSeverity, NewSeverity string
}

// Any reports whether something changes.
func (c Change) Any() bool { return c.Instance || c.NewSeverity != "" }

// Signals returns which instances of a request fire. It is shared with the
// request: it must not be changed.
func Signals(request *v1alpha1.RemediationRequest) *v1alpha1.SignalInstances {
	if request.Status.Signals != nil {
		return request.Status.Signals
	}
	spec := &request.Spec
	s := &v1alpha1.SignalInstances{}
	if spec.Severity != "" {
		s.Severities = []string{spec.Severity}
	}
	if spec.SignalType != v1alpha1.SignalTypeOverflow { // its members are in the status only
		s.Instances = []v1alpha1.SignalInstance{{
			ID: signal.InstanceID(spec.Labels), Name: InstanceName(spec.TargetResource), Severity: spec.Severity,
			StartsAt: spec.FiringTime, LastSeenAt: spec.ReceivedTime,
		}}
	}
	return s
}

// InstanceName is the name of an instance for people.
func InstanceName(target v1alpha1.TargetResource) string {
	return printable.Storable(target.Kind+"/"+target.Name, signal.MaxName)
}

// changeOf returns what a report changes. beyond means that the instance is
// counted among those that are not listed.
func changeOf(s *v1alpha1.SignalInstances, r Report, beyond bool) Change {
	at := indexOf(s, r.ID)
	if r.Resolved && at < 0 {
		return Change{Beyond: beyond && s.More > 0}
	}
	if r.Resolved {
		// An end from before the instance began to fire again is late.
		return Change{Instance: r.EndedAt.IsZero() || !r.EndedAt.Before(s.Instances[at].StartsAt.Time)}
	}
	room := len(s.Instances) < v1alpha1.MaxSignalInstances
	c := Change{
		Instance: at < 0 && (room || (!beyond && s.More == 0)),
		Beyond:   at < 0 && !room && !beyond && s.More > 0,
	}
	if r.Severity != "" && len(s.Severities) < v1alpha1.MaxSignalSeverities && !slices.Contains(s.Severities, r.Severity) {
		c.NewSeverity = r.Severity
		if last := len(s.Severities) - 1; last >= 0 {
			c.OldSeverity = s.Severities[last]
		}
	}
	return c
}

// apply changes the instances as a report says. It returns whether the instance
// is one of those that are not listed.
func apply(s *v1alpha1.SignalInstances, r Report, beyond bool) bool {
	c := changeOf(s, r, beyond)
	if r.Resolved {
		if c.Instance {
			at := indexOf(s, r.ID)
			s.Instances = slices.Delete(s.Instances, at, at+1)
		}
		endIfNoneFires(s, r.Seen)
		return false
	}
	if c.Instance || c.Beyond {
		noteStart(s, r.StartsAt)
	}
	if c.NewSeverity != "" {
		s.Severities = append(s.Severities, c.NewSeverity)
	}
	switch {
	case c.Beyond:
		countBeyond(s, r.Seen)
		return true
	case !c.Instance:
		touch(s, r)
		return beyond && indexOf(s, r.ID) < 0
	case len(s.Instances) < v1alpha1.MaxSignalInstances:
		if beyond && s.More > 0 {
			s.More--
		}
		s.EndedAt = nil
		s.Instances = append(s.Instances, v1alpha1.SignalInstance{
			ID: r.ID, Name: r.Name, Severity: r.Severity, StartsAt: *microTime(r.StartsAt), LastSeenAt: *microTime(r.Seen),
		})
		return false
	default:
		countBeyond(s, r.Seen)
		return true
	}
}

// countBeyond counts one more instance that is not listed.
func countBeyond(s *v1alpha1.SignalInstances, seen time.Time) {
	s.More++
	s.EndedAt = nil
	seenBeyond(s, seen)
}

// endBeyond counts one less.
func endBeyond(s *v1alpha1.SignalInstances, seen time.Time) {
	s.More = max(0, s.More-1)
	endIfNoneFires(s, seen)
}

func endIfNoneFires(s *v1alpha1.SignalInstances, seen time.Time) {
	if len(s.Instances) == 0 && s.More == 0 && s.EndedAt == nil {
		s.EndedAt = microTime(seen)
	}
}

// touch notes that an instance fires still. It lists nothing.
func touch(s *v1alpha1.SignalInstances, r Report) {
	if !r.StartAssumed {
		noteStart(s, r.StartsAt)
	}
	at := indexOf(s, r.ID)
	if at < 0 {
		if s.More > 0 {
			seenBeyond(s, r.Seen)
		}
		return
	}
	instance := &s.Instances[at]
	later(&instance.LastSeenAt, r.Seen)
	if !r.StartAssumed {
		later(&instance.StartsAt, r.StartsAt)
	}
	instance.Severity = r.Severity
}

// noteStart notes when an instance began to fire. It outlasts the instance, so that whoever
// looks later sees that something fired in between.
func noteStart(s *v1alpha1.SignalInstances, at time.Time) {
	if s.LatestStartsAt == nil {
		s.LatestStartsAt = microTime(at)
		return
	}
	later(s.LatestStartsAt, at)
}

func seenBeyond(s *v1alpha1.SignalInstances, seen time.Time) {
	if s.MoreSeenAt == nil {
		s.MoreSeenAt = microTime(seen)
		return
	}
	later(s.MoreSeenAt, seen)
}

func indexOf(s *v1alpha1.SignalInstances, id string) int {
	return slices.IndexFunc(s.Instances, func(i v1alpha1.SignalInstance) bool { return i.ID == id })
}

// later sets a time to a later one.
func later(t *metav1.MicroTime, to time.Time) {
	if candidate := microTime(to); t.Before(candidate) {
		*t = *candidate
	}
}

func microTime(t time.Time) *metav1.MicroTime {
	m := metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
	return &m
}
