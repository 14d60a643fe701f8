package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
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
	// decoding is how many goroutines decode batches.
	decoding atomic.Int32
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
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) > 0 && first[0] == '{' {
		b := d.batch(caller, 1)
		b.hashing = newHashing()
		syntax := b.add(body, wireNames)
		b.hashing.finish()
		switch {
		case syntax != nil:
			return Batch{}, bodyErrorf("the body is not usable JSON: %v", syntax)
		case b.err != nil:
			return Batch{}, b.err
		default:
			return b.Batch, nil
		}
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
	var texts []text
	number := 0
	for line := range bytes.Lines(body) {
		number++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if len(texts) == d.limits.Events {
			return Batch{}, d.tooMany()
		}
		texts = append(texts, text{line, number})
	}
	return d.decode(texts, caller, wireNames)
}

func (d *Decoder) array(body []byte, caller string, names *naming) (Batch, error) {
	var texts []text
	full := false
	err := wire.Elements(body, func(value []byte) bool {
		if full = len(texts) == d.limits.Events; full {
			return false
		}
		texts = append(texts, text{bytes: value})
		return true
	})
	switch {
	case errors.Is(err, wire.ErrNotArray):
		return Batch{}, bodyErrorf("the body must be a JSON array of events")
	case err != nil:
		return Batch{}, bodyErrorf("the body is not usable JSON: %v", err)
	case full:
		return Batch{}, d.tooMany()
	}
	return d.decode(texts, caller, names)
}

func (d *Decoder) tooMany() error {
	detail := fmt.Sprintf("more than %d events in one request: send them in several", d.limits.Events)
	return &BodyError{TooLarge: true, Detail: detail}
}

// batchDecoder collects the events of a body, or of a part of one.
type batchDecoder struct {
	Batch

	decoder *Decoder
	caller  string
	now     time.Time
	err     error // no random numbers could be read
	// fresh are empty events, and salts random numbers for theirs.
	fresh []decoded
	salts []byte
	// room for the data of events, which live equally long.
	room []byte
	// hashing computes the hashes of events.
	hashing *hashing
}

// soon is how many events are worth an allocation together: those that are still to come, up to a bound.
func (b *batchDecoder) soon() int {
	const most = 32
	return max(1, min(cap(b.Events)-len(b.Events), most))
}

// next returns an empty event.
func (b *batchDecoder) next() *decoded {
	if len(b.fresh) == 0 {
		b.fresh = make([]decoded, b.soon())
	}
	e := &b.fresh[0]
	b.fresh = b.fresh[1:]
	e.RecordedBy, e.ReceivedAt = b.caller, b.now
	return e
}

func (d *Decoder) batch(caller string, events int) *batchDecoder {
	now := d.clock.Now().UTC().Truncate(time.Microsecond)
	return &batchDecoder{Batch: Batch{Events: make([]*Event, 0, events)}, decoder: d, caller: caller, now: now}
}

func (b *batchDecoder) refuse(r Refusal) {
	r.Index = len(b.Events)
	b.Events = append(b.Events, nil)
	b.Refusals = append(b.Refusals, r)
}

// add decodes one event, or returns why its text is not JSON.
func (b *batchDecoder) add(object []byte, names *naming) *wire.SyntaxError {
	r := readers.Get().(*reader) //nolint:forcetypeassert // the pool holds nothing else
	defer r.release()
	r.names, r.limits, r.event = names, b.decoder.limits, b.next()
	if syntax := r.read(object); syntax != nil {
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
	e.Data = r.eventData.AppendCanonical(b.roomFor(r.eventData.CanonicalSize()))
	b.salt(e)
	b.hashing.add(e, r.sentActorID, r.sentRetention)
	b.Events = append(b.Events, e)
	return nil
}

// salt gives an event its salts. Those of several events are read together, because each read is a call of the system.
func (b *batchDecoder) salt(e *Event) {
	if len(b.salts) == 0 {
		b.salts = make([]byte, b.soon()*len(e.Salts))
		if _, err := io.ReadFull(b.decoder.random, b.salts); err != nil && b.err == nil {
			b.err = fmt.Errorf("make salts: %w", err)
		}
	}
	b.salts = b.salts[copy(e.Salts[:], b.salts):]
}

// roomFor returns an empty slice with room for so many bytes.
func (b *batchDecoder) roomFor(size int) []byte {
	const most = 16 << 10
	if len(b.room) < size {
		b.room = make([]byte, max(size, min(size*b.soon(), most)))
	}
	taken := b.room[:0:size]
	b.room = b.room[size:]
	return taken
}
