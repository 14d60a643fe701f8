package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit/wire"
)

// Limits bound what a decoder takes.
type Limits struct {
	// Events in one batch.
	Events int
	// DataBytes of one event's data, in its canonical form.
	DataBytes int
	// Retention of events.
	Retention Retention
}

// DefaultLimits are the limits that the API's documentation names.
func DefaultLimits() Limits {
	return Limits{Events: 10_000, DataBytes: wire.MaxDataBytes}
}

// Decoder turns request bodies into valid events. It is safe for concurrent use.
type Decoder struct {
	limits Limits
	clock  clock.PassiveClock
	random io.Reader
}

// NewDecoder makes a decoder; random is read for salts, and for the ids of events
// that come without one, and must be safe for concurrent use.
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
	b := d.batch(caller)
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) > 0 && first[0] == '{' {
		if syntax := b.add(body, wireNames); syntax != nil {
			return Batch{}, bodyErrorf("the body is not usable JSON: %v", syntax)
		}
		return b.done(false)
	}
	var syntax *wire.SyntaxError
	if err := wire.Members(body, func(_, _ []byte) error { return nil }); errors.As(err, &syntax) {
		return Batch{}, bodyErrorf("the body is not usable JSON: %v", syntax)
	}
	return Batch{}, bodyErrorf("the body must be one event, a JSON object")
}

// Array decodes a body that holds a JSON array of events.
func (d *Decoder) Array(body []byte, caller string) (Batch, error) {
	return d.array(body, caller, wireNames)
}

// CloudEvents decodes a body of application/cloudevents-batch+json.
func (d *Decoder) CloudEvents(body []byte, caller string) (Batch, error) {
	return d.array(body, caller, cloudEventNames)
}

// Lines decodes a body of application/x-ndjson: one event per line. Empty lines are ignored.
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
		if syntax := b.add(line, wireNames); syntax != nil {
			syntax.Line = number
			b.refuse(Refusal{Code: CodeInvalid, Detail: "is not usable JSON: " + syntax.Error()})
		}
	}
	return b.done(false)
}

func (d *Decoder) array(body []byte, caller string, names naming) (Batch, error) {
	b := d.batch(caller)
	full := false
	err := wire.Elements(body, func(value []byte) bool {
		if full = len(b.Events) == d.limits.Events; full {
			return false
		}
		// The syntax is known to be right, except that each event may be too deep.
		if syntax := b.add(value, names); syntax != nil {
			b.refuse(Refusal{Code: CodeInvalid, Detail: "is " + syntax.Reason})
		}
		return true
	})
	switch {
	case errors.Is(err, wire.ErrNotArray):
		return Batch{}, bodyErrorf("the body must be a JSON array of events")
	case err != nil:
		return Batch{}, bodyErrorf("the body is not usable JSON: %v", err)
	}
	return b.done(full)
}

// batchDecoder collects the events of one body.
type batchDecoder struct {
	Batch

	decoder *Decoder
	caller  string
	now     time.Time
	err     error // no random numbers could be read
	// room for the next events.
	room []decoded
}

// roomFor is how many events are allocated together.
const roomFor = 32

// next returns an empty event.
func (b *batchDecoder) next() *decoded {
	if len(b.room) == 0 {
		// One event is most of the requests, or the first of many.
		b.room = make([]decoded, max(1, min(len(b.Events), roomFor)))
	}
	e := &b.room[0]
	b.room = b.room[1:]
	e.RecordedBy, e.ReceivedAt = b.caller, b.now
	return e
}

func (d *Decoder) batch(caller string) *batchDecoder {
	return &batchDecoder{decoder: d, caller: caller, now: d.clock.Now().UTC().Truncate(time.Microsecond)}
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

// add decodes one event, or returns why its text is not JSON.
func (b *batchDecoder) add(text []byte, names naming) *wire.SyntaxError {
	r := readers.Get().(*reader) //nolint:forcetypeassert // the pool holds nothing else
	defer r.release()
	r.names, r.limits, r.event = names, b.decoder.limits, b.next()
	if syntax := r.read(text); syntax != nil {
		return syntax
	}
	e := &r.event.Event
	if len(r.fields) > 0 {
		b.refuse(Refusal{ID: e.ID, Code: r.code(), Detail: wire.FieldText(r.fields, maxNamedFields), Fields: r.fields})
		return nil
	}
	if e.ID == uuid.Nil && b.err == nil {
		e.ID, b.err = newID(b.now, b.decoder.random)
	}
	if b.err == nil {
		if _, err := io.ReadFull(b.decoder.random, e.Salts[:]); err != nil {
			b.err = fmt.Errorf("make salts: %w", err)
		}
	}
	e.Digest = digest(e, r.sentActorID, r.sentRetention)
	e.Commitment = e.Parts().Commitment()
	b.Events = append(b.Events, e)
	return nil
}
