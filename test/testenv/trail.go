package testenv

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"kubernaut.ai/api/datastorage"
)

// Trail is the events of one correlation id, oldest first.
type Trail []datastorage.StoredEvent

// Types are the events' types, in order.
func (t Trail) Types() []string {
	names := make([]string, 0, len(t))
	for i := range t {
		names = append(names, t[i].EventType)
	}
	return names
}

// Of returns the events of one type, in order.
func (t Trail) Of(eventType string) Trail {
	var found Trail
	for i := range t {
		if t[i].EventType == eventType {
			found = append(found, t[i])
		}
	}
	return found
}

// String is a table with a line for each event.
func (t Trail) String() string {
	if len(t) == 0 {
		return "(no events)"
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for i := range t {
		e := &t[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", // a strings.Builder takes everything
			e.EventTimestamp.UTC().Format("15:04:05.000000"), e.EventType, e.EventOutcome, e.EventId, e.EventData)
	}
	_ = w.Flush()
	return text.String()
}

// GomegaString makes Gomega show the table.
func (t Trail) GomegaString() string { return t.String() }

// HaveAudited matches a Trail that has an event of the type which matches all
// of the others, each a matcher of a datastorage.StoredEvent like Outcome and Data.
func HaveAudited(eventType string, others ...types.GomegaMatcher) types.GomegaMatcher {
	all := append([]types.GomegaMatcher{gomega.HaveField("EventType", eventType)}, others...)
	return gomega.ContainElement(gomega.SatisfyAll(all...))
}

// Outcome matches an event by its outcome.
func Outcome(outcome datastorage.EventOutcome) types.GomegaMatcher {
	return gomega.HaveField("EventOutcome", outcome)
}

// Data matches a value inside an event's data, which path names with dots, as
// in "severity.value". A value that is not there is nil; numbers are float64.
func Data(path string, matcher types.GomegaMatcher) types.GomegaMatcher {
	return gomega.WithTransform(func(e datastorage.StoredEvent) (any, error) { return dataOf(&e, path) }, matcher)
}

// dataOf is the value that a path of names leads to in an event's data, nil
// where there is none.
func dataOf(e *datastorage.StoredEvent, path string) (any, error) {
	var value any
	if err := json.Unmarshal(e.EventData, &value); err != nil {
		return nil, fmt.Errorf("read data of %s: %w", e.EventId, err)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, _ := value.(map[string]any)
		value = object[name] // nil where there is none
	}
	return value, nil
}
