package reconstruct

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
)

func (b *Builder) create(e *datastorage.StoredEvent, d *created) {
	rr := b.request
	rr.Namespace, rr.UID, rr.CreationTimestamp = d.Namespace, d.UID, metav1.NewTime(e.EventTimestamp.UTC().Truncate(time.Second))
	if d.Spec != nil {
		rr.Spec = *d.Spec
		b.created = true
	}
	if rr.Status.Phase == "" {
		rr.Status.Phase = v1alpha1.RemediationPending
	}
}

// received is the first signal.
func (b *Builder) received(e *datastorage.StoredEvent, d *signal) {
	b.request.Status.Deduplication = &v1alpha1.Deduplication{FirstSeenAt: *at(e), LastSeenAt: *at(e), OccurrenceCount: 1}
	s := b.signals()
	if d.Severity != "" {
		s.Severities = append(s.Severities, d.Severity)
	}
	b.fires(e, d)
}

func (b *Builder) signals() *v1alpha1.SignalInstances {
	if b.request.Status.Signals == nil {
		b.request.Status.Signals = &v1alpha1.SignalInstances{}
	}
	return b.request.Status.Signals
}

func (b *Builder) deduplicated(e *datastorage.StoredEvent, d *signal) {
	count, last := d.Count, at(e)
	if d.Instance != "" {
		count = 1
		b.instances = true
		b.fires(e, d)
	}
	if d.Last != nil {
		last = micro(*d.Last)
	}
	if c := b.request.Status.Deduplication; c != nil {
		c.OccurrenceCount += count
		c.LastSeenAt = *last
	}
	for _, of := range d.Instances {
		if i := b.indexOf(of.ID); i >= 0 {
			b.request.Status.Signals.Instances[i].LastSeenAt = *last
		}
	}
}

// fires lists the instance of a firing signal.
func (b *Builder) fires(e *datastorage.StoredEvent, d *signal) {
	s := b.signals()
	if d.NewSeverity != "" && !slices.Contains(s.Severities, d.NewSeverity) && len(s.Severities) < v1alpha1.MaxSignalSeverities {
		s.Severities = append(s.Severities, d.NewSeverity)
	}
	starts := at(e)
	if d.FiringTime != nil {
		starts = micro(*d.FiringTime)
	}
	if b.instances && (s.LatestStartsAt == nil || s.LatestStartsAt.Before(starts)) {
		s.LatestStartsAt = starts
	}
	s.EndedAt = nil
	switch i := b.indexOf(d.Instance); {
	case i >= 0:
		of := &s.Instances[i]
		of.Severity, of.LastSeenAt = d.Severity, *at(e)
		if of.StartsAt.Before(starts) {
			of.StartsAt = *starts
		}
	case len(s.Instances) < v1alpha1.MaxSignalInstances:
		s.Instances = append(s.Instances, v1alpha1.SignalInstance{
			ID: d.Instance, Name: d.Target.Kind + "/" + d.Target.Name, Severity: d.Severity, StartsAt: *starts, LastSeenAt: *at(e),
		})
	default:
		s.More++
		s.MoreSeenAt = at(e)
	}
}

// resolved ends an instance.
func (b *Builder) resolved(e *datastorage.StoredEvent, d *signal) {
	if d.Ignored {
		return
	}
	b.instances = true
	s := b.signals()
	if i := b.indexOf(d.Instance); i >= 0 {
		s.Instances = slices.Delete(s.Instances, i, i+1)
	} else if s.More > 0 {
		s.More--
	}
	if len(s.Instances) == 0 && s.More == 0 && s.EndedAt == nil {
		s.EndedAt = at(e)
	}
}

func (b *Builder) indexOf(instance string) int {
	if b.request.Status.Signals == nil {
		return -1
	}
	return slices.IndexFunc(b.request.Status.Signals.Instances, func(i v1alpha1.SignalInstance) bool { return i.ID == instance })
}
