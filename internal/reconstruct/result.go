package reconstruct

import (
	"kubernaut.ai/api/v1alpha1"
)

// Result is a request as its trail tells it.
type Result struct {
	// Request is rebuilt as far as the trail goes. The fields that Missing names are empty.
	Request *v1alpha1.RemediationRequest
	// Events counts those that were read. Foreign ones, whose recorders may not write them, were not used;
	// those that are Unchecked were, although nobody could tell whether their recorders may.
	Events, Foreign, Unchecked int
	// Known counts the events that tell about a request. Without one, the trail is not that of a request.
	Known int
	// Rebuilt counts the parts that the trail tells: fields, and steps that have their events.
	Rebuilt int
	// Lost counts the parts that the trail should tell and does not. Missing lists the first 100 of them.
	Lost    int
	Missing []Gap
	// Approximate are fields that the trail tells nearly.
	Approximate []Gap
}

// Gap is a part of a request that the trail does not tell, or not exactly.
type Gap struct {
	// Field is a path, as in status.phase; empty for an event that should be there.
	Field string
	// Reason says in a sentence what is missing, and why that is known.
	Reason string
}

// IsOfRequest reports whether the trail is that of a request, also of one that only foreign events tell about.
func (r *Result) IsOfRequest() bool { return r.Known > 0 || r.Foreign > 0 }

// Completeness is the share of the parts that the trail tells, from 0 to 1.
func (r *Result) Completeness() float64 {
	all := r.Rebuilt + r.Lost
	if all == 0 {
		return 0
	}
	return float64(r.Rebuilt) / float64(all)
}
