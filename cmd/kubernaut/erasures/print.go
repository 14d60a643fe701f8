package erasures

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/output"
	"kubernaut.ai/internal/printable"
)

// show writes erasures in a form.
func show(out io.Writer, form string, found []datastorage.Erasure) error {
	if form == output.Table {
		return printTable(out, found)
	}
	return output.Encode(out, form, "the erasures", datastorage.ErasureList{Erasures: append([]datastorage.Erasure{}, found...)}) //nolint:wrapcheck // says what
}

func printTable(out io.Writer, found []datastorage.Erasure) error {
	if len(found) == 0 {
		return output.Line(out, "no erasures") //nolint:wrapcheck // says all there is
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tSTATUS\tEVENTS\tERASED\tREQUESTED BY\tREQUESTED AT\tREASON") // Flush reports the error
	for i := range found {
		e := &found[i]
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", e.ErasureId, e.Status, e.Events, e.Erased,
			printable.Line(e.RequestedBy), e.RequestedAt.UTC().Format(time.RFC3339), printable.Line(e.Reason))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the erasures: %w", err)
	}
	return nil
}

// printOutcome tells what became of an erasure.
func printOutcome(out io.Writer, e *datastorage.Erasure) error {
	by := ""
	if e.RequestedBy != "" {
		by = " by " + printable.Line(e.RequestedBy)
	}
	var errs []error
	say := func(format string, args ...any) {
		errs = append(errs, output.Line(out, "erasure %s: "+format, append([]any{e.ErasureId}, args...)...))
	}
	switch e.Status {
	case datastorage.Requested:
		say("%d events, requested%s, wait for datastorage maintain", e.Events, by)
	case datastorage.Erased:
		say("%d of %d events erased, requested%s", e.Erased, e.Events, by)
		if n := len(e.Missing); n > 0 {
			say("%d events had been removed by retention", n)
		}
	case datastorage.Refused:
		say("%s, requested%s; none of %d events was erased", e.Status, by, e.Events)
		for _, h := range e.Held {
			say("event %s is kept by legal hold %s", h.EventId, h.HoldId)
		}
		for why, ids := range map[string][]uuid.UUID{"contradicts its commitment: it was altered in the database": e.Altered, "was recorded by DataStorage itself": e.Own} {
			for _, id := range ids {
				say("event %s %s", id, why)
			}
		}
		if e.Unusable {
			say("what was recorded is not a request that DataStorage takes")
		}
	}
	return errors.Join(errs...)
}
