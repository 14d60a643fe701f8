package stores

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit/control"
)

const (
	acknowledgementsPath = "/apis/audit.kubernaut.ai/v1/acknowledgements"
	acknowledgementsAPI  = "audit.kubernaut.ai/v1"
	// maxEvents bounds the events of one record.
	maxEvents = 1000
)

// acknowledgement is what the command was asked for.
type acknowledgement struct {
	ids              []uuid.UUID
	reason           string
	recorder, record string
}

// record is an acknowledgement in the API of DataStorage.
type record struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta `json:"metadata,omitzero"`
	Spec     recordSpec        `json:"spec"`
}

type recordSpec struct {
	Recorder string      `json:"recorder"`
	EventIDs []uuid.UUID `json:"eventIDs"`
	Reason   string      `json:"reason"`
}

// check is a *cli.UsageError for what does not go together.
func (a *acknowledgement) check() error {
	switch {
	case a.record != "" && (len(a.ids) > 0 || a.reason != "" || a.recorder != ""):
		return cli.Usagef("--record names an acknowledgement that exists: it takes no events, --reason or --recorder")
	case a.record != "":
		return nil
	case len(a.ids) == 0:
		return cli.Usagef("name the events to acknowledge, as kubernaut stores quarantine list shows them")
	case len(a.ids) > maxEvents:
		return cli.Usagef("%d events: at most %d at a time", len(a.ids), maxEvents)
	case a.reason == "":
		return cli.Usagef("--reason is required: why the events will not be stored")
	}
	return nil
}

func (a *acknowledgement) run(ctx context.Context, out io.Writer, o *options) error {
	switch {
	case a.record != "":
		return a.handOver(ctx, out, o)
	case a.recorder != "":
		cluster, err := o.connect()
		if err != nil {
			return err
		}
		id, err := cluster.create(ctx, recordSpec{Recorder: a.recorder, EventIDs: a.ids, Reason: a.reason})
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintln(out, id)
		return nil
	}
	return a.settle(ctx, out, o)
}

// handOver gives a record that exists to all pods. A pod whose recorder is
// another one does not get to see it.
func (a *acknowledgement) handOver(ctx context.Context, out io.Writer, o *options) error {
	id := uuid.MustParse(a.record) // checked with the flags
	known := 0
	err := eachPod(ctx, o, func(p pod, c *control.Client) error {
		settled, err := c.Acknowledge(ctx, id)
		if isNotFound(err) {
			return nil
		}
		if err == nil {
			known++
			_, _ = fmt.Fprintf(out, "pod %s: %s settled\n", p.name, plural(settled.Acknowledged, "event"))
		}
		return err //nolint:wrapcheck // names the request
	})
	if err == nil && known == 0 {
		return fmt.Errorf("DataStorage shows acknowledgement %s to no pod: it does not exist, or is for another recorder", id)
	}
	return err
}

// settle creates a record for each recorder whose pods report some of the
// events, and gives it to these pods.
func (a *acknowledgement) settle(ctx context.Context, out io.Writer, o *options) error {
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	holders, err := a.holders(ctx, o)
	if err != nil {
		return err
	}
	var failed []error
	for _, recorder := range slices.Sorted(maps.Keys(holders)) {
		h := holders[recorder]
		id, err := cluster.create(ctx, recordSpec{Recorder: recorder, EventIDs: h.ids, Reason: a.reason})
		if err != nil {
			failed = append(failed, err)
			continue
		}
		_, _ = fmt.Fprintf(out, "acknowledgement %s of %s\n", id, plural(len(h.ids), "event"))
		for _, p := range h.pods {
			var settled control.Acknowledged
			err := cluster.ask(ctx, p, func(c *control.Client) error {
				var err error
				settled, err = c.Acknowledge(ctx, id)
				return err //nolint:wrapcheck // names the request
			})
			if err != nil {
				failed = append(failed, fmt.Errorf("pod %s: %w; repeat with --record %s", p.name, err, id))
				continue
			}
			_, _ = fmt.Fprintf(out, "pod %s: %s settled\n", p.name, plural(settled.Acknowledged, "event"))
		}
	}
	return errors.Join(failed...)
}

// holder is the pods of a recorder, and which of the events they report.
type holder struct {
	ids  []uuid.UUID
	pods []pod
}

// holders finds out who reports the events. An event that nobody reports is an
// error: nothing is created then.
func (a *acknowledgement) holders(ctx context.Context, o *options) (map[string]*holder, error) {
	holders := make(map[string]*holder)
	found := make(map[uuid.UUID]bool)
	err := eachPod(ctx, o, func(p pod, c *control.Client) error {
		held, err := heldBy(ctx, p.name, c)
		if err != nil {
			return err
		}
		mine := false
		for i := range held {
			id := held[i].ID
			if !slices.Contains(a.ids, id) {
				continue
			}
			h := holders[p.recorder]
			if h == nil {
				h = &holder{}
				holders[p.recorder] = h
			}
			if !slices.Contains(h.ids, id) {
				h.ids = append(h.ids, id)
			}
			found[id], mine = true, true
		}
		if mine {
			holders[p.recorder].pods = append(holders[p.recorder].pods, p)
		}
		return nil
	})
	missing := slices.DeleteFunc(slices.Clone(a.ids), func(id uuid.UUID) bool { return found[id] })
	if len(missing) > 0 {
		return nil, errors.Join(fmt.Errorf("no pod reports %s: for events on a volume without a pod, use --recorder", joinIDs(missing)), err)
	}
	return holders, nil
}

// create makes a record through the API server, under the caller's own name.
func (c *cluster) create(ctx context.Context, spec recordSpec) (uuid.UUID, error) {
	body, err := json.Marshal(record{TypeMeta: metav1.TypeMeta{APIVersion: acknowledgementsAPI, Kind: "Acknowledgement"}, Spec: spec})
	if err != nil {
		return uuid.Nil, fmt.Errorf("encode acknowledgement: %w", err)
	}
	answer, err := connection.Answer(c.clients.CoreV1().RESTClient().Post().AbsPath(acknowledgementsPath).
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body(body).Do(ctx))
	if err != nil {
		return uuid.Nil, fmt.Errorf("create acknowledgement for %s: %w", spec.Recorder, err)
	}
	var created record
	if err := json.Unmarshal(answer, &created); err != nil {
		return uuid.Nil, fmt.Errorf("create acknowledgement for %s: unusable answer: %w", spec.Recorder, err)
	}
	id, err := uuid.Parse(created.Metadata.Name)
	if err != nil {
		return uuid.Nil, fmt.Errorf("create acknowledgement for %s: the answer has no id: %w", spec.Recorder, err)
	}
	return id, nil
}
