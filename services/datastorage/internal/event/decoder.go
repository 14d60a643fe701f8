package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/strictjson"
)

// Limits bound what a decoder takes.
type Limits struct {
	// Events in one batch.
	Events int
	// DataBytes of one event's data, in its canonical form.
	DataBytes int
	// Depth of nested objects and arrays in one event.
	Depth int
	// Ahead is how far in the future an event's time may lie.
	Ahead time.Duration
}

// DefaultLimits are the limits that the API's documentation names.
func DefaultLimits() Limits {
	return Limits{Events: 10_000, DataBytes: 1 << 20, Depth: 64, Ahead: 5 * time.Minute}
}

// Decoder turns request bodies into valid events. It is safe for concurrent use.
type Decoder struct {
	limits Limits
	clock  clock.PassiveClock
	random io.Reader
}

// NewDecoder makes a decoder; random is read for the ids of events that come
// without one, and must be safe for concurrent use.
func NewDecoder(limits Limits, c clock.PassiveClock, random io.Reader) *Decoder {
	return &Decoder{limits: limits, clock: c, random: random}
}

// Batch is a decoded body: for each index either an event or a refusal.
type Batch struct {
	// Events in the order of the body; nil where the event is refused.
	Events []*Event
	// Refusals in the order of their indexes.
	Refusals []Refusal
}

// One decodes a body that holds one event. A body that is not one is a *BodyError.
func (d *Decoder) One(body []byte, caller string) (Batch, error) {
	if err := strictjson.Check(body, d.limits.Depth); err != nil {
		return Batch{}, bodyErrorf("the body is not usable JSON: %v", err)
	}
	if strictjson.Kind(body) != '{' {
		return Batch{}, bodyErrorf("the body must be one event, a JSON object")
	}
	b := d.batch(caller)
	b.add(body, wireNames)
	return b.done(false)
}

// Array decodes a body that holds a JSON array of events.
func (d *Decoder) Array(body []byte, caller string) (Batch, error) {
	return d.array(body, caller, wireNames)
}

// CloudEvents decodes a body of application/cloudevents-batch+json.
func (d *Decoder) CloudEvents(body []byte, caller string) (Batch, error) {
	return d.array(body, caller, cloudEventNames)
}

// Lines decodes a body of application/x-ndjson: an event a line. Empty lines are left out.
func (d *Decoder) Lines(body []byte, caller string) (Batch, error) {
	b := d.batch(caller)
	number := 0
	for line := range bytes.Lines(body) {
		number++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if len(b.Events) == d.limits.Events {
			return b.done(true)
		}
		if err := strictjson.Check(line, d.limits.Depth); err != nil {
			if syntax, ok := errors.AsType[*strictjson.SyntaxError](err); ok {
				syntax.Line = number
			}
			b.refuse(Refusal{Code: CodeInvalid, Detail: "not usable JSON: " + err.Error()})
			continue
		}
		b.add(line, wireNames)
	}
	return b.done(false)
}

func (d *Decoder) array(body []byte, caller string, names naming) (Batch, error) {
	// The depth is each event's own matter, so that one that is too deep can be named.
	if err := strictjson.Check(body, math.MaxInt); err != nil {
		return Batch{}, bodyErrorf("the body is not usable JSON: %v", err)
	}
	if strictjson.Kind(body) != '[' {
		return Batch{}, bodyErrorf("the body must be a JSON array of events")
	}
	b := d.batch(caller)
	full := false
	strictjson.Elements(body, func(value []byte) bool {
		if full = len(b.Events) == d.limits.Events; full {
			return false
		}
		if strictjson.IsDeeper(value, d.limits.Depth) {
			b.refuse(Refusal{Code: CodeInvalid, Detail: fmt.Sprintf("nested more than %d deep", d.limits.Depth)})
		} else {
			b.add(value, names)
		}
		return true
	})
	return b.done(full)
}

// batchDecoder collects the events of one body.
type batchDecoder struct {
	Batch

	decoder *Decoder
	caller  string
	now     time.Time
	err     error // no id could be made
}

func (d *Decoder) batch(caller string) *batchDecoder {
	return &batchDecoder{decoder: d, caller: caller, now: d.clock.Now()}
}

func (b *batchDecoder) done(tooMany bool) (Batch, error) {
	switch {
	case b.err != nil:
		return Batch{}, b.err
	case tooMany:
		detail := fmt.Sprintf("more than %d events in one request: send them in several", b.decoder.limits.Events)
		return Batch{}, &BodyError{TooLarge: true, Detail: detail}
	case len(b.Events) == 0:
		return Batch{}, bodyErrorf("the batch holds no event")
	default:
		return b.Batch, nil
	}
}

func (b *batchDecoder) refuse(r Refusal) {
	r.Index = len(b.Events)
	b.Events = append(b.Events, nil)
	b.Refusals = append(b.Refusals, r)
}

// add decodes one event from text that was checked.
func (b *batchDecoder) add(text []byte, names naming) {
	if strictjson.Kind(text) != '{' {
		b.refuse(Refusal{Code: CodeInvalid, Detail: "an event must be a JSON object"})
		return
	}
	r := reader{names: names, limits: b.decoder.limits, now: b.now, event: &Event{RecordedBy: b.caller}}
	r.read(text)
	e := r.event
	if len(r.fields) > 0 {
		b.refuse(Refusal{ID: e.ID, Code: r.code(), Detail: summary(r.fields), Fields: r.fields})
		return
	}
	if e.ID == uuid.Nil && b.err == nil {
		e.ID, b.err = newID(b.now, b.decoder.random)
	}
	e.Digest = digest(e, r.sentActorID, r.sentRetention)
	b.Events = append(b.Events, e)
}
