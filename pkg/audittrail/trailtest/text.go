package trailtest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/onsi/gomega/format"
)

const (
	// mostLines bounds the part of a trail that a message lists.
	mostLines = 50
	// mostData bounds the bytes of an event's data that a line shows.
	mostData = 200
)

// trailText lists events, one in a line, with numbers from 1.
func trailText(events []entry) string {
	if len(events) == 0 {
		return "the trail is empty: was the store flushed before the trail was read?"
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
	if len(events) == 1 {
		b.WriteString("trail of 1 event")
	} else {
		fmt.Fprintf(&b, "trail of %d events", len(events))
	}
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
		if data := dataText(e); data != "" {
			fmt.Fprintf(&b, "  %s", data)
		}
	}
	return b.String()
}

// dataText shows an event's data on one line, as far as there is space and as
// they may be shown.
func dataText(e *entry) string {
	if e.Sensitive {
		return "(sensitive data)"
	}
	data := strings.Join(strings.Fields(string(e.Data)), " ")
	if len(data) <= mostData {
		return data
	}
	end := mostData
	for !utf8.RuneStart(data[end]) {
		end--
	}
	return fmt.Sprintf("%s... (%d bytes)", data[:end], len(e.Data))
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

// indented puts each text on lines of its own.
func indented(texts []string) string {
	var b strings.Builder
	for _, text := range texts {
		b.WriteString("\n" + format.IndentString(text, 1))
	}
	return b.String()
}
