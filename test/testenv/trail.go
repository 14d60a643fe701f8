package testenv

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"kubernaut.ai/api/datastorage"
)

// Trail is the events of one correlation id, oldest first. The matchers of
// pkg/audittrail/trailtest take it.
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
