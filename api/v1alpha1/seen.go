package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Occurrences is the number of signals that the request stands for, as far as counted.
func (r *RemediationRequest) Occurrences() int64 {
	if r.Status.Deduplication == nil {
		return 1
	}
	return r.Status.Deduplication.OccurrenceCount
}

// LastSeenAt is when the latest counted signal of the request arrived.
func (r *RemediationRequest) LastSeenAt() metav1.MicroTime {
	last := r.Spec.ReceivedTime
	later := func(t *metav1.MicroTime) {
		if t != nil && last.Before(t) {
			last = *t
		}
	}
	if d := r.Status.Deduplication; d != nil {
		later(&d.LastSeenAt)
	}
	if s := r.Status.Signals; s != nil {
		later(s.MoreSeenAt)
		for i := range s.Instances {
			later(&s.Instances[i].LastSeenAt)
		}
	}
	return last
}

// LatestStart is when the latest firing of an instance began, as far as the status tells.
func (r *RemediationRequest) LatestStart() metav1.MicroTime {
	latest := r.Spec.FiringTime
	s := r.Status.Signals
	if s == nil {
		return latest
	}
	if s.LatestStartsAt != nil && latest.Before(s.LatestStartsAt) {
		latest = *s.LatestStartsAt
	}
	for i := range s.Instances {
		if latest.Before(&s.Instances[i].StartsAt) {
			latest = s.Instances[i].StartsAt
		}
	}
	return latest
}

// Fires reports whether an instance of the request's signal fires.
func (r *RemediationRequest) Fires() bool {
	s := r.Status.Signals
	return s == nil || len(s.Instances) > 0 || s.More > 0
}

// SaidSeverities are the severities, as the source said them, of the request's signals.
func (r *RemediationRequest) SaidSeverities() []string {
	if r.Status.Signals == nil {
		return nil
	}
	return r.Status.Signals.Severities
}
