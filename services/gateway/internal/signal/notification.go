package signal

import (
	"maps"
	"slices"
	"strings"
	"time"

	"kubernaut.ai/api/v1alpha1"
)

// Notification is one delivery of a source: the signals of one request body.
type Notification struct {
	// Source is the kind of sender, as in metrics and audit events; for example alertmanager.
	Source string
	// Group is the sender's name for the signals that it sent together; may be empty.
	Group string
	// Receiver is the sender's name for this Gateway; may be empty.
	Receiver string
	// Digest identifies the body: the hex SHA-256 of its bytes.
	Digest string
	// Truncated is how many signals the sender left out of the body.
	Truncated uint64
	// Observations are the signals, in the order of the body. There is at least one.
	Observations []Observation
}

// Observation is one signal of a notification.
type Observation struct {
	// Invalid says why the signal is unusable. If it is set, no other field is.
	Invalid *InvalidError
	// Spec is the spec of the request that this signal would create. It has
	// neither a target nor a fingerprint: they depend on what is in the cluster.
	Spec v1alpha1.RemediationRequestSpec
	// Target is the object that the signal is about, if the source names the
	// object itself. If it is nil, the labels tell.
	Target *v1alpha1.TargetResource
	// Cluster is the cluster that the signal names; empty if it names none.
	Cluster string
	// Resolved marks a signal that reports the end of the problem.
	Resolved bool
	// ResolvedAt is when the problem ended, according to the source; zero while it goes on.
	ResolvedAt time.Time
}

// InvalidError means that a body, or one of its signals, is unusable. It is
// permanent: the same input is never accepted.
type InvalidError struct {
	// Fields maps the path of each invalid field, as in
	// alerts[1].labels.alertname, to what is wrong with it.
	Fields map[string]string
}

// Error names every field.
func (e *InvalidError) Error() string {
	problems := make([]string, 0, len(e.Fields))
	for _, path := range slices.Sorted(maps.Keys(e.Fields)) {
		problems = append(problems, path+": "+e.Fields[path])
	}
	return "invalid notification: " + strings.Join(problems, "; ")
}
