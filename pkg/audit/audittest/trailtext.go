package audittest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/onsi/gomega/format"

	"kubernaut.ai/pkg/audit"
)

// mostLines bounds the part of a trail that a message lists.
const mostLines = 50

// trailText lists events, one in a line, with numbers from 1.
func trailText(events []audit.Event) string {
	if len(events) == 0 {
		return "the trail is empty"
	}
	var b strings.Builder
	common := events[0].CorrelationID
	width := 0
	for i := range events {
		if events[i].CorrelationID != common {
			common = ""
		}
		width = max(width, len(events[i].Type))
	}
	fmt.Fprintf(&b, "trail of %d events", len(events))
	if common != "" {
		fmt.Fprintf(&b, " of %s", common)
	}
	b.WriteByte(':')
	for i := range events {
		if i == mostLines {
			fmt.Fprintf(&b, "\n%sand %d more", format.Indent, len(events)-mostLines)
			break
		}
		e := &events[i]
		fmt.Fprintf(&b, "\n%s%d  %s  %-*s  %s  %s", format.Indent, i+1,
			e.Timestamp.UTC().Format("15:04:05.000000"), width, e.Type, e.Outcome, e.ID)
		if common == "" {
			fmt.Fprintf(&b, "  %s", e.CorrelationID)
		}
	}
	return b.String()
}

// numbers names events as trailText numbers them.
func numbers(indexes []int) string {
	texts := make([]string, len(indexes))
	for i, index := range indexes {
		texts[i] = strconv.Itoa(index + 1)
	}
	if len(texts) == 1 {
		return "event " + texts[0]
	}
	return "events " + strings.Join(texts, ", ")
}

// withFields speaks of fields where there are some.
func withFields(fields []Field) string {
	if len(fields) == 0 {
		return ""
	}
	return " with these fields"
}
