package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/story"
	"kubernaut.ai/internal/printable"
)

// The forms of a trail.
const (
	Table    = "table"
	JSON     = "json"
	YAML     = "yaml"
	Markdown = "markdown"
)

const (
	// maxEvents bounds a trail. A request has some dozens.
	maxEvents = 10000
	timeForm  = "2006-01-02 15:04:05.000"
)

// ErrEmpty means that there is no event with the correlation id.
var ErrEmpty = errors.New("no event has this correlation id")

// Events reads a trail, oldest first.
func Events(ctx context.Context, from Source, id string, each func(*datastorage.StoredEvent) error) error {
	order := datastorage.Asc
	read := 0
	for event, err := range from.Query(ctx, datastorage.ListEventsParams{CorrelationId: &id, Order: &order}) {
		if err != nil {
			return fmt.Errorf("trail of %s: %w", id, err)
		}
		if read == maxEvents {
			return fmt.Errorf("trail of %s: more than %d events; query DataStorage for parts of it", id, maxEvents)
		}
		read++
		if err := each(&event); err != nil {
			return err
		}
	}
	if read == 0 {
		return fmt.Errorf("trail of %s: %w: kubectl get rr -A lists the requests", id, ErrEmpty)
	}
	return nil
}

// Print writes a trail in a form.
func Print(ctx context.Context, from Source, id, form string, out io.Writer) error {
	switch form {
	case JSON:
		return printJSON(ctx, from, id, out)
	case YAML:
		return Events(ctx, from, id, func(e *datastorage.StoredEvent) error {
			text, err := yaml.Marshal([]*datastorage.StoredEvent{e})
			if err != nil {
				return fmt.Errorf("write event %s: %w", e.EventId, err)
			}
			return write(out, string(text))
		})
	}
	var told, apart []line
	err := Events(ctx, from, id, func(e *datastorage.StoredEvent) error {
		place(e, &told, &apart)
		return nil
	})
	if err != nil {
		return err
	}
	if form == Markdown {
		return printMarkdown(id, told, apart, out)
	}
	return printTable(told, apart, out)
}

// Tell writes a trail that was read, oldest first, as Print writes a table.
func Tell(events []datastorage.StoredEvent, out io.Writer) error {
	var told, apart []line
	for i := range events {
		place(&events[i], &told, &apart)
	}
	return printTable(told, apart, out)
}

// place tells an event, apart from the story if its recorder may not write it.
func place(e *datastorage.StoredEvent, told, apart *[]line) {
	if e.Foreign || e.RecorderUnchecked {
		*apart = append(*apart, lineOf(e))
	} else {
		*told = append(*told, lineOf(e))
	}
}

// line is an event as people read it.
type line struct{ at, event, by, what string }

func lineOf(e *datastorage.StoredEvent) line {
	l := line{
		at: e.EventTimestamp.UTC().Format(timeForm), event: printable.Line(e.EventType),
		by: printable.Line(story.Actor(e)), what: story.Tell(e),
	}
	if e.EventOutcome == datastorage.Failure {
		l.what = "FAILED: " + l.what
	}
	return l
}

const apartText = "Not a part of it: events of recorders that may not write such events, or that could not be checked"

func printTable(told, apart []line, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TIME (UTC)\tEVENT\tBY\tWHAT") // Flush reports the error
	rows := func(lines []line) {
		for _, l := range lines {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.at, l.event, l.by, l.what)
		}
	}
	rows(told)
	if len(apart) > 0 {
		_, _ = fmt.Fprintf(table, "\n%s:\n", apartText)
		rows(apart)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the trail: %w", err)
	}
	return nil
}

func printMarkdown(id string, told, apart []line, out io.Writer) error {
	var text strings.Builder
	rows := func(lines []line) {
		text.WriteString("| time (UTC) | event | by | what |\n|---|---|---|---|\n")
		for _, l := range lines {
			fmt.Fprintf(&text, "| %s | `%s` | %s | %s |\n", l.at, l.event, cell(l.by), cell(l.what))
		}
	}
	fmt.Fprintf(&text, "# Audit trail of %s\n\n", cell(printable.Line(id)))
	rows(told)
	if len(apart) > 0 {
		fmt.Fprintf(&text, "\n%s:\n\n", apartText)
		rows(apart)
	}
	return write(out, text.String())
}

// special are the characters that mean something in Markdown's text.
var special = strings.NewReplacer(`\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "#", `\#`)

func cell(text string) string { return special.Replace(text) }

func printJSON(ctx context.Context, from Source, id string, out io.Writer) error {
	separator := "[\n"
	err := Events(ctx, from, id, func(e *datastorage.StoredEvent) error {
		text, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("write event %s: %w", e.EventId, err)
		}
		before := separator
		separator = ",\n"
		return write(out, before+string(text))
	})
	if err != nil {
		return err
	}
	return write(out, "\n]\n")
}

func write(out io.Writer, text string) error {
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("write the trail: %w", err)
	}
	return nil
}

// last are the events after which nothing follows.
var last = map[string]bool{
	"remediation.request.completed":    true,
	"remediation.request.skipped":      true,
	"remediation.request.closed":       true,
	"signalprocessing.request.skipped": true,
}

// Follow writes the events of a trail as they come, looking again at an interval,
// until the request has ended.
func Follow(ctx context.Context, from Source, id string, every time.Duration, out io.Writer) error {
	seen := map[uuid.UUID]bool{}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		ended := false
		err := Events(ctx, from, id, func(e *datastorage.StoredEvent) error {
			trusted := !e.Foreign && !e.RecorderUnchecked
			ended = ended || trusted && last[e.EventType]
			if seen[e.EventId] {
				return nil
			}
			seen[e.EventId] = true
			l := lineOf(e)
			if !trusted {
				l.what = "(not a part of the story: its recorder may not write it, or could not be checked) " + l.what
			}
			return write(out, fmt.Sprintf("%s  %-40s  %-24s  %s\n", l.at, l.event, l.by, l.what))
		})
		switch {
		case ctx.Err() != nil:
			return nil // the caller has seen enough
		case err != nil && !errors.Is(err, ErrEmpty):
			return err
		case ended:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}
