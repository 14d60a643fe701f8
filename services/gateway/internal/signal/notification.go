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
	// Beyond is what the adapter left out, because it lies beyond the bounds of a body.
	Beyond Beyond
	// Unlisted counts the unusable signals that are not among the observations:
	// complaints end after [MaxComplaints].
	Unlisted int
	// Observations are the signals, in the order of the body. At least one is usable.
	Observations Observations
}

// Beyond is the part of a body that lies beyond its bounds.
type Beyond struct {
	// Signals is how many signals were left out.
	Signals int
	// Cut means that the body went on after the last byte that was read, so
	// Signals is a lower bound.
	Cut bool
}

// Any reports whether something was left out.
func (b Beyond) Any() bool { return b.Signals > 0 || b.Cut }

// Observations are the signals of a notification. They are made on demand, so
// that a large notification takes little more memory than its body.
type Observations interface {
	// Len is the number of signals.
	Len() int
	// At makes the signal at an index. It is safe for concurrent use.
	At(index int) Observation
	// Size is roughly how many bytes the signal had in the body.
	Size(index int) int
}

// List is Observations that are in memory already, for sources with few signals a body.
type List []Observation

// Len implements Observations.
func (l List) Len() int { return len(l) }

// At implements Observations.
func (l List) At(index int) Observation { return l[index] }

// Size implements Observations.
func (l List) Size(index int) int { return len(l[index].Spec.OriginalPayload) }

// Observation is one signal of a notification.
type Observation struct {
	// Invalid says why the signal is unusable. If it is set, no other field is but Index.
	Invalid *InvalidError
	// Index is the signal's place in the body, from 0.
	Index int
	// Spec is the spec of the request that this signal would create. It has
	// neither a target nor a fingerprint: they depend on what is in the cluster.
	Spec v1alpha1.RemediationRequestSpec
	// Labels are all labels of the signal as they were received. The spec's are bounded.
	Labels map[string]string
	// Target is the object that the signal is about, if the source names the
	// object itself. If it is nil, the labels tell.
	Target *v1alpha1.TargetResource
	// Cluster is the cluster that the signal names; empty if it names none.
	Cluster string
	// StartsAt is when the signal began to fire according to the source; zero if
	// the source does not say so in a usable form. The spec then has the time of
	// receipt as its firing time, and StartsAtNote says why.
	StartsAt     time.Time
	StartsAtNote string
	// Resolved marks a signal that reports the end of the problem.
	Resolved bool
	// ResolvedAt is when the problem ended, according to the source; zero while it
	// goes on, and if the source does not say so in a usable form.
	ResolvedAt time.Time
}

// MaxComplaints bounds how many invalid fields an error names, and how many
// unusable signals of a notification are listed.
const MaxComplaints = 32

// InvalidError means that a body, or one of its signals, is unusable. It is
// permanent: the same input is never accepted.
type InvalidError struct {
	// Fields maps the path of each invalid field, as in
	// alerts[1].labels.alertname, to what is wrong with it.
	Fields map[string]string
	// Hint names the sender that the body seems to come from, and the setting to
	// change; may be empty.
	Hint string
	// TooLarge means that reading stopped, because the beginning of a large body
	// has no usable signal.
	TooLarge bool
}

// Error names every field.
func (e *InvalidError) Error() string {
	problems := make([]string, 0, len(e.Fields))
	for _, path := range slices.Sorted(maps.Keys(e.Fields)) {
		problems = append(problems, path+": "+e.Fields[path])
	}
	text := "invalid notification: " + strings.Join(problems, "; ")
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}
