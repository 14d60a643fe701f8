package signal

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kubernaut.ai/api/v1alpha1"
)

// SourceAlertmanager is Alertmanager, as metrics and audit events name it.
const SourceAlertmanager = "alertmanager"

// Notification is one delivery of a source: what one request body held.
type Notification struct {
	// Source is the kind of sender, for example SourceAlertmanager.
	Source string
	// Group is the sender's own name for what it sent together; may be empty.
	Group string
	// Receiver is the sender's name for this Gateway; may be empty.
	Receiver string
	// Truncated is how many signals the sender left out of the body.
	Truncated uint64
	// Observations are the signals, in the order of the body. There is at least one.
	Observations []Observation
}

// Observation is one signal of a notification.
type Observation struct {
	// Invalid says why the signal cannot be understood, and nil for one that
	// can; then it is the only field that is set.
	Invalid *InvalidError
	// Spec is the request that this signal would make. Its fingerprint is
	// empty: it depends on the target's owner, which the cluster knows.
	Spec v1alpha1.RemediationRequestSpec
	// Cluster that the signal says it comes from; empty where it says none.
	Cluster string
	// Resolved marks a signal that says the problem is over.
	Resolved bool
	// ResolvedAt is when the source says that the problem ended; zero while it goes on.
	ResolvedAt time.Time
}

// InvalidError means that a body, or one of its signals, cannot be understood.
// It is final: the same will never be accepted.
type InvalidError struct {
	// Fields maps the path of each offending field, as in
	// alerts[1].labels.alertname, to what is wrong with it.
	Fields map[string]string
}

// Error names every field.
func (e *InvalidError) Error() string {
	complaints := make([]string, 0, len(e.Fields))
	for _, path := range slices.Sorted(maps.Keys(e.Fields)) {
		complaints = append(complaints, path+": "+e.Fields[path])
	}
	return "invalid notification: " + strings.Join(complaints, "; ")
}

// maxComplaints bounds the answer to a body that is wrong everywhere.
const maxComplaints = 32

// complaints collects what is wrong with a body.
type complaints struct {
	fields map[string]string
	more   int
}

func (c *complaints) addf(path, format string, args ...any) {
	if c.fields == nil {
		c.fields = map[string]string{}
	}
	if len(c.fields) >= maxComplaints {
		c.more++
		return
	}
	c.fields[path] = fmt.Sprintf(format, args...)
}

// add takes over what is wrong with one signal.
func (c *complaints) add(e *InvalidError) {
	for _, path := range slices.Sorted(maps.Keys(e.Fields)) {
		c.addf(path, "%s", e.Fields[path])
	}
}

// invalid is nil where there is nothing to complain about.
func (c *complaints) invalid() *InvalidError {
	if c.fields == nil {
		return nil
	}
	if c.more > 0 {
		c.fields["..."] = fmt.Sprintf("and %d more", c.more)
	}
	return &InvalidError{Fields: c.fields}
}
