package stores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/control"
)

// heldEvent is an unacknowledged event of a pod.
type heldEvent struct {
	Pod           string    `json:"pod"`
	ID            uuid.UUID `json:"event_id"`
	Type          string    `json:"event_type"`
	CorrelationID string    `json:"correlation_id"`
	// Code is lost for an event that is lost, else the sink's.
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// heldBy lists the unacknowledged events of a pod.
func heldBy(ctx context.Context, name string, c *control.Client) ([]heldEvent, error) {
	quarantine, err := c.Quarantine(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the request
	}
	reported, err := c.Rejections(ctx, "")
	if err != nil {
		return nil, err //nolint:wrapcheck // names the request
	}
	var held []heldEvent
	seen := make(map[uuid.UUID]bool)
	for i := range quarantine.Events {
		q := &quarantine.Events[i]
		seen[q.ID] = true
		held = append(held, heldEvent{name, q.ID, q.Type, q.CorrelationID, q.Code, q.Reason})
	}
	for i := range reported.Rejected { // without a spool, more than it keeps
		if r := &reported.Rejected[i]; !seen[r.ID] {
			seen[r.ID] = true
			held = append(held, heldEvent{name, r.ID, r.Type, r.CorrelationID, r.Code, r.Reason})
		}
	}
	for _, l := range reported.Lost {
		if !seen[l.ID] {
			held = append(held, heldEvent{name, l.ID, l.Type, l.CorrelationID, "lost", "it will not be stored"})
		}
	}
	return held, nil
}

func listQuarantine(ctx context.Context, out io.Writer, o *options) error {
	all := []heldEvent{}
	err := eachPod(ctx, o, func(p pod, c *control.Client) error {
		held, err := heldBy(ctx, p.name, c)
		all = append(all, held...)
		return err
	})
	if o.output == "json" {
		return errors.Join(printJSON(out, all), err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "POD\tEVENT ID\tTYPE\tCORRELATION ID\tCODE\tREASON")
	for i := range all {
		h := &all[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", h.Pod, h.ID, printable(h.Type), printable(h.CorrelationID), printable(h.Code), printable(h.Reason))
	}
	return errors.Join(w.Flush(), err)
}

func showQuarantined(ctx context.Context, out io.Writer, o *options, id uuid.UUID, sensitive bool) error {
	var found *control.QuarantinedEvent
	err := eachPod(ctx, o, func(_ pod, c *control.Client) error {
		if found != nil {
			return nil
		}
		q, err := c.Quarantined(ctx, id, sensitive)
		switch {
		case isNotFound(err):
			return nil
		case err != nil:
			return err //nolint:wrapcheck // names the request
		}
		found = &q
		return nil
	})
	switch {
	case found != nil:
		return printJSON(out, found)
	case err != nil:
		return err
	}
	return fmt.Errorf("no pod has event %s in quarantine", id)
}

func retryQuarantined(ctx context.Context, out io.Writer, o *options, ids []uuid.UUID) error {
	total := 0
	err := eachPod(ctx, o, func(p pod, c *control.Client) error {
		retried, err := c.Retry(ctx, ids...)
		if err == nil && retried.Retried > 0 {
			_, _ = fmt.Fprintf(out, "pod %s sends %s again\n", p.name, plural(retried.Retried, "event"))
		}
		total += retried.Retried
		return err //nolint:wrapcheck // names the request
	})
	if err == nil && total == 0 {
		return errors.New("no pod has such an event in quarantine, or it is being sent already")
	}
	return err
}
