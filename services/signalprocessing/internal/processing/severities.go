package processing

import (
	"slices"

	"kubernaut.ai/api/v1alpha1"
)

// maxSeverities is how many severities a SignalProcessing takes into account.
const maxSeverities = 16

// unseen are the severities that the decisions of a SignalProcessing do not take into
// account yet.
func unseen(sp *v1alpha1.SignalProcessing, said []string) []string {
	var news []string
	room := maxSeverities - len(sp.Status.Severities)
	for _, severity := range said {
		if len(news) < room && !slices.Contains(sp.Status.Severities, severity) && !slices.Contains(news, severity) {
			news = append(news, severity)
		}
	}
	return news
}

// worst returns the index of the worst severity, and of the first of equals.
func worst(severities []v1alpha1.Severity) int {
	scale := []v1alpha1.Severity{
		v1alpha1.SeverityCritical, v1alpha1.SeverityHigh, v1alpha1.SeverityMedium, v1alpha1.SeverityLow, v1alpha1.SeverityUnknown,
	}
	return first(scale, severities)
}

// mostUrgent returns the index of the most urgent priority, and of the first of equals.
func mostUrgent(priorities []v1alpha1.Priority) int {
	scale := []v1alpha1.Priority{v1alpha1.PriorityP0, v1alpha1.PriorityP1, v1alpha1.PriorityP2, v1alpha1.PriorityP3}
	return first(scale, priorities)
}

// first returns the index of the value that comes first on a scale.
func first[T comparable](scale, values []T) int {
	best := 0
	for i := range values {
		if slices.Index(scale, values[i]) < slices.Index(scale, values[best]) {
			best = i
		}
	}
	return best
}
