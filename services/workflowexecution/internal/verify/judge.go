package verify

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
)

// sighting is what a look has seen of a request's signal.
type sighting struct {
	now time.Time
	// finished is when the execution was over.
	finished time.Time
	// latestStart is when the latest firing began.
	latestStart time.Time
	// firing are the instances whose object is there, gone the names of the others.
	firing []v1alpha1.SignalInstance
	gone   []string
	// unlisted counts instances beyond the list, the latest of which was seen at unlistedSeen.
	unlisted     int64
	unlistedSeen time.Time
}

// over reports whether nothing fires any more.
func (s *sighting) over() bool { return len(s.firing) == 0 && s.unlisted == 0 }

// repeated reports whether an instance that fires was repeated since the execution.
func (s *sighting) repeated() bool {
	if s.unlisted > 0 && s.unlistedSeen.After(s.finished) {
		return true
	}
	for i := range s.firing {
		if s.firing[i].LastSeenAt.After(s.finished) {
			return true
		}
	}
	return false
}

// unknown are the instances that were not repeated for so long that nobody knows whether
// they fire.
func (s *sighting) unknown(after time.Duration) (names []string, unlisted int64) {
	limit := s.now.Add(-after)
	for i := range s.firing {
		if !s.firing[i].LastSeenAt.After(limit) {
			names = append(names, s.firing[i].Name)
		}
	}
	if s.unlisted > 0 && !s.unlistedSeen.After(limit) {
		unlisted = s.unlisted
	}
	return names, unlisted
}

func (s *sighting) count() int64 { return int64(len(s.firing)) + s.unlisted }

// verdict is the outcome of a verification; without an outcome, it goes on.
type verdict struct {
	outcome v1alpha1.Outcome
	message string
	// again is when to look again, if it goes on.
	again time.Time
	// timedOut is set if the instances did not resolve in time.
	timedOut bool
}

func waiting(again time.Time, format string, args ...any) verdict {
	return verdict{message: fmt.Sprintf(format, args...), again: again}
}

func ended(outcome v1alpha1.Outcome, format string, args ...any) verdict {
	return verdict{outcome: outcome, message: fmt.Sprintf(format, args...)}
}

// alerts judges by the signal alone, and notes in v when everything had resolved and when the
// stabilization ends. The outcome Effective still depends on the condition.
func (s *sighting) alerts(v *v1alpha1.ExecutionVerification, resolveTimeout, stabilization time.Duration) verdict {
	if s.latestStart.After(s.finished) {
		return ended(v1alpha1.OutcomeIneffective, "the signal began to fire again at %s, after the execution was over",
			s.latestStart.UTC().Format(time.RFC3339))
	}
	if v.ResolvedAt == nil {
		deadline := v.StartedAt.Add(resolveTimeout)
		switch {
		case s.over():
			resolved, stable := metav1.NewMicroTime(s.now), metav1.NewMicroTime(s.now.Add(stabilization))
			v.ResolvedAt, v.StableAt = &resolved, &stable
		case s.now.Before(deadline):
			return waiting(deadline, "%d instances have not resolved", s.count())
		case s.repeated():
			return verdict{
				outcome: v1alpha1.OutcomeIneffective, timedOut: true,
				message: fmt.Sprintf("%d instances did not resolve within %s, and were repeated since the execution", s.count(), resolveTimeout),
			}
		default:
			return verdict{
				outcome: v1alpha1.OutcomeInconclusive, timedOut: true,
				message: fmt.Sprintf("%d instances did not resolve within %s, and were not repeated since the execution", s.count(), resolveTimeout),
			}
		}
	}
	switch {
	case s.now.Before(v.StableAt.Time):
		return waiting(v.StableAt.Time, "resolved; stable at %s if nothing fires and the condition holds", v.StableAt.UTC().Format(time.RFC3339))
	case !s.over() && s.repeated():
		return ended(v1alpha1.OutcomeIneffective, "%d instances fire at the end of the stabilization", s.count())
	case !s.over():
		return ended(v1alpha1.OutcomeInconclusive, "%d instances are listed at the end of the stabilization, but were not repeated", s.count())
	}
	return ended(v1alpha1.OutcomeEffective, "nothing fired for %s, and the condition held", stabilization)
}
