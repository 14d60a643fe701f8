package stores

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"kubernaut.ai/pkg/audit/control"
)

// holding is what a pod, or a volume without one, holds.
type holding struct {
	Workload string `json:"workload"`
	Pod      string `json:"pod,omitempty"`
	// Volume is a claim without a pod: what it holds is not known.
	Volume string         `json:"volume,omitempty"`
	State  *control.State `json:"state,omitempty"`
	// Error says why the state is not known.
	Error string `json:"error,omitempty"`
}

// showStates prints what each pod holds. It fails if one could not be asked.
func showStates(ctx context.Context, out io.Writer, o *options) error {
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	found, err := cluster.find(ctx, o.workload)
	if err != nil {
		return err
	}
	holdings := []holding{}
	unknown := 0
	for _, w := range found {
		for _, p := range w.pods {
			h := holding{Workload: w.name, Pod: p.name}
			err := cluster.ask(ctx, p, func(c *control.Client) error {
				state, err := c.State(ctx)
				h.State = &state
				return err //nolint:wrapcheck // names the request
			})
			if err != nil {
				h.State, h.Error = nil, err.Error()
				unknown++
			}
			holdings = append(holdings, h)
		}
		for _, claim := range w.volumes {
			holdings = append(holdings, holding{Workload: w.name, Volume: claim})
		}
	}
	if err := printStates(out, o.output, holdings); err != nil {
		return err
	}
	if unknown > 0 {
		return fmt.Errorf("%s could not be asked", plural(unknown, "pod"))
	}
	return nil
}

func printStates(out io.Writer, form string, holdings []holding) error {
	if form == "json" {
		return printJSON(out, holdings)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "WORKLOAD\tPOD\tPENDING\tON DISK\tOLDEST\tSTALLED\tREJECTED\tLOST\tSPOOL\tSINK")
	for i := range holdings {
		h := &holdings[i]
		switch s := h.State; {
		case h.Volume != "":
			_, _ = fmt.Fprintf(w, "%s\tvolume %s\t?\t?\t?\t?\t?\t?\t?\tno pod: see spool adopt\n", h.Workload, h.Volume)
		case s == nil:
			_, _ = fmt.Fprintf(w, "%s\t%s\t?\t?\t?\t?\t?\t?\t?\t%s\n", h.Workload, h.Pod, printable(h.Error))
		default:
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%d\t%d\t%d\t%s\t%s\n", h.Workload, h.Pod, s.PendingEvents, s.PersistedEvents,
				age(s), s.StalledEvents, s.RejectedEvents, s.LostEvents, spoolText(s), sinkText(s))
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func age(s *control.State) string {
	if s.PendingEvents == 0 {
		return "-"
	}
	return time.Duration(s.OldestSeconds * float64(time.Second)).Round(time.Millisecond).String()
}

func spoolText(s *control.State) string {
	switch {
	case s.Spool == nil:
		return "none"
	case s.SpoolError != "":
		return "fails: " + printable(s.SpoolError)
	case s.Spool.Damage != "":
		return fmt.Sprintf("damaged: %s lost", plural(s.Spool.DamagedEvents, "event"))
	}
	return fmt.Sprintf("%d%% of %d MiB", s.Spool.Bytes*100/max(s.Spool.MaxBytes, 1), s.Spool.MaxBytes>>20)
}

func sinkText(s *control.State) string {
	if s.SinkError == "" {
		return "ok"
	}
	return printable(s.SinkError)
}

func printJSON(out io.Writer, document any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
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

// isNotFound reports whether a control listener does not know what it was asked for.
func isNotFound(err error) bool {
	status, ok := errors.AsType[*control.StatusError](err)
	return ok && status.Status == 404
}
