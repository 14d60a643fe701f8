package holds

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/output"
	"kubernaut.ai/internal/printable"
)

// show writes holds in a form.
func show(out io.Writer, form string, found page) error {
	if form == output.Table {
		return printTable(out, found.holds)
	}
	return output.Encode(out, form, "the holds", datastorage.LegalHoldList{LegalHolds: append([]datastorage.LegalHold{}, found.holds...), HasMore: found.cursor != ""}) //nolint:wrapcheck // says what
}

func printTable(out io.Writer, found []datastorage.LegalHold) error {
	if len(found) == 0 {
		return output.Line(out, "no holds") //nolint:wrapcheck // says all there is
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tHOLDS\tPLACED BY\tPLACED AT\tREASON\tRELEASED") // Flush reports the error
	for i := range found {
		h := &found[i]
		released := ""
		if h.ReleasedAt != nil {
			released = fmt.Sprintf("%s%s: %s", h.ReleasedAt.UTC().Format(time.RFC3339), by(h.ReleasedBy), h.ReleaseReason)
		}
		cells := []string{h.HoldId.String(), held(h), h.PlacedBy, h.PlacedAt.UTC().Format(time.RFC3339), h.Reason, released}
		for i, text := range cells {
			cells[i] = printable.Line(text)
		}
		_, _ = fmt.Fprintln(table, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the holds: %w", err)
	}
	return nil
}

// by names whoever did something; nobody is known without authentication.
func by(name string) string {
	if name == "" {
		return ""
	}
	return " by " + printable.Line(name)
}

// held says what a hold is on.
func held(h *datastorage.LegalHold) string {
	if h.Unusable {
		return "all events: the hold is malformed"
	}
	if h.CorrelationId != "" {
		return printable.Line(h.CorrelationId)
	}
	parts := make([]string, 0, len(h.Filter))
	for _, name := range slices.Sorted(maps.Keys(h.Filter)) {
		parts = append(parts, name+"="+h.Filter[name])
	}
	return printable.Line(strings.Join(parts, " "))
}
