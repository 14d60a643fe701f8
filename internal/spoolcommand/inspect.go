package spoolcommand

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/google/uuid"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
)

type inspectOptions struct {
	events bool
	output string
}

// document is the JSON form of a spool.Report.
type document struct {
	Directory      string             `json:"directory"`
	InUse          bool               `json:"in_use"`
	PendingEvents  int                `json:"pending_events"`
	PendingBytes   int                `json:"pending_bytes"`
	Bytes          int64              `json:"bytes"`
	DamagedEvents  int                `json:"damaged_events"`
	DamagedBytes   int64              `json:"damaged_bytes"`
	Damage         string             `json:"damage,omitempty"`
	Segments       []segmentDocument  `json:"segments"`
	SetAside       []string           `json:"set_aside,omitempty"`
	Quarantined    []rejectedDocument `json:"quarantined"`
	Events         []pendingDocument  `json:"events,omitempty"`
	OldestPending  *time.Time         `json:"oldest_pending,omitempty"`
	NewestPending  *time.Time         `json:"newest_pending,omitempty"`
	CorrelationIDs int                `json:"correlation_ids"`
}

type segmentDocument struct {
	Name            string `json:"name"`
	Bytes           int64  `json:"bytes"`
	First           uint64 `json:"first_position"`
	Last            uint64 `json:"last_position"`
	Pending         int    `json:"pending_events"`
	Terminal        int    `json:"terminal_events"`
	Lost            int    `json:"lost_events"`
	UnreadableBytes int64  `json:"unreadable_bytes"`
}

type rejectedDocument struct {
	audit.Rejection

	LostEvents int  `json:"lost_events,omitempty"`
	Contents   bool `json:"has_contents"`
}

type pendingDocument struct {
	Position      uint64    `json:"position"`
	ID            uuid.UUID `json:"event_id"`
	Type          string    `json:"event_type"`
	CorrelationID string    `json:"correlation_id"`
	Timestamp     time.Time `json:"event_timestamp"`
}

// maxCounted bounds how many correlation ids are told apart.
const maxCounted = 1_000_000

// look reads everything in a directory.
func look(dir string, events bool) (*document, error) {
	d := &document{Directory: dir, Segments: []segmentDocument{}, Quarantined: []rejectedDocument{}}
	trails := make(map[string]bool)
	report, err := spool.Inspect(dir, func(e audit.SpooledEvent) error {
		at := e.Event.Timestamp
		if d.OldestPending == nil || at.Before(*d.OldestPending) {
			d.OldestPending = &at
		}
		if d.NewestPending == nil || at.After(*d.NewestPending) {
			d.NewestPending = &at
		}
		if len(trails) < maxCounted {
			trails[e.Event.CorrelationID] = true
		}
		if events {
			d.Events = append(d.Events, pendingDocument{e.Position, e.Event.ID, e.Event.Type, e.Event.CorrelationID, at})
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usagef("%s: there is no such directory", dir)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // names the directory
	}
	d.InUse, d.PendingEvents, d.PendingBytes, d.Bytes = report.InUse, report.State.Events, report.State.EventBytes, report.State.Bytes
	damage := report.State.Damage
	d.DamagedEvents, d.DamagedBytes, d.Damage = damage.Events, damage.Bytes, damage.Detail
	d.SetAside, d.CorrelationIDs = report.SetAside, len(trails)
	for _, s := range report.Segments {
		d.Segments = append(d.Segments, segmentDocument{s.Name, s.Bytes, s.First, s.Last, s.Pending, s.Terminal, s.Lost, s.UnreadableBytes})
	}
	for i := range report.Quarantined {
		q := &report.Quarantined[i]
		d.Quarantined = append(d.Quarantined, rejectedDocument{q.Rejection, q.LostEvents, q.Event != nil})
	}
	return d, nil
}

func (d *document) damaged() bool {
	return d.DamagedEvents > 0 || d.DamagedBytes > 0 || d.Damage != "" || len(d.SetAside) > 0
}

func inspect(out io.Writer, dir string, o inspectOptions) error {
	d, err := look(dir, o.events)
	if err != nil {
		return err
	}
	if o.output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(d) //nolint:wrapcheck // fails only if nobody reads
	}
	d.print(out)
	return nil
}

func fsck(out io.Writer, dir string) error {
	d, err := look(dir, false)
	if err != nil {
		return err
	}
	if d.InUse {
		return fmt.Errorf("%s: a process has the spool open: stop it first", dir) //nolint:err113 // for people
	}
	d.print(out)
	if d.damaged() {
		return fmt.Errorf("%s: the spool is damaged: %s lost, %s unreadable", dir, plural(d.DamagedEvents, "event"), plural(int(d.DamagedBytes), "byte")) //nolint:err113 // for people
	}
	_, _ = fmt.Fprintln(out, "no damage found")
	return nil
}

func (d *document) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	line("directory\t%s", d.Directory)
	if d.InUse {
		line("in use\tby a process: what follows is that of a moment")
	}
	pending := plural(d.PendingEvents, "event")
	if d.OldestPending != nil && d.NewestPending != nil {
		pending += fmt.Sprintf(" of %s, from %s to %s", plural(d.CorrelationIDs, "trail"),
			d.OldestPending.UTC().Format(time.RFC3339), d.NewestPending.UTC().Format(time.RFC3339))
	}
	line("pending\t%s", pending)
	line("quarantine\t%s", plural(len(d.Quarantined), "rejected event"))
	line("damage\t%s lost, %s unreadable", plural(d.DamagedEvents, "event"), plural(int(d.DamagedBytes), "byte"))
	_ = w.Flush()
	if d.Damage != "" {
		_, _ = fmt.Fprintf(out, "  %s\n", printable(d.Damage))
	}
	for _, name := range d.SetAside {
		_, _ = fmt.Fprintf(out, "  %s was set aside: the medium did not give all of it back\n", printable(name))
	}
	if len(d.Segments) > 0 {
		line("\nSEGMENT\tBYTES\tPOSITIONS\tPENDING\tTERMINAL\tLOST\tUNREADABLE")
		for _, s := range d.Segments {
			line("%s\t%d\t%d-%d\t%d\t%d\t%d\t%d", s.Name, s.Bytes, s.First, s.Last, s.Pending, s.Terminal, s.Lost, s.UnreadableBytes)
		}
	}
	if len(d.Quarantined) > 0 {
		line("\nREJECTED\tTYPE\tCORRELATION ID\tCODE\tREASON")
		for i := range d.Quarantined {
			q := &d.Quarantined[i]
			line("%s\t%s\t%s\t%s\t%s", q.ID, printable(q.Type), printable(q.CorrelationID), printable(q.Code), printable(q.Reason))
		}
	}
	if len(d.Events) > 0 {
		line("\nPENDING\tTYPE\tCORRELATION ID\tTIME\tPOSITION")
		for i := range d.Events {
			e := &d.Events[i]
			line("%s\t%s\t%s\t%s\t%d", e.ID, printable(e.Type), printable(e.CorrelationID), e.Timestamp.UTC().Format(time.RFC3339Nano), e.Position)
		}
	}
	_ = w.Flush()
}

// printable strips what would control a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
