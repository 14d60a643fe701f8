package event

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// maxUnknown bounds the unknown fields of an event that a refusal names, so that
// an answer does not become many times as large as the request.
const maxUnknown = 20

var errTooManyUnknown = fmt.Errorf("has more than %d unknown fields", maxUnknown)

// decoded is an event, and room for its optional numbers.
type decoded struct {
	Event

	duration, epoch, seq int64
}

// reader fills an event from the members of one JSON object and notes
// everything that is wrong with it.
type reader struct {
	names  *naming
	limits Limits
	// order has the fields of the last event that was read, by the names orderOf: most events have theirs in the same
	// order.
	order   [fieldCount]field
	orderOf *naming

	// values by field: parts of the text, nil where there is none.
	values [fieldCount][]byte
	// eventData is what is known of the data.
	eventData wire.Data
	// texts is one copy of all values that are texts; spans are their places in it.
	texts   string
	scratch []byte
	spans   [fieldCount]struct{ begin, end int32 }

	event  *decoded
	fields map[string]string // what is wrong, by wire name
	// tooLarge: one field at least is refused for its size.
	tooLarge bool

	sentActorID   string
	sentRetention int32
}

// readers are reused for their buffers.
var readers = sync.Pool{New: func() any { return new(reader) }}

// release gives r back, without references to the text and its event.
func (r *reader) release() {
	const large = 16 << 10
	scratch := r.scratch[:0]
	if cap(scratch) > large {
		scratch = nil
	}
	*r = reader{scratch: scratch, order: r.order, orderOf: r.orderOf}
	readers.Put(r)
}

func (r *reader) code() Code {
	if r.tooLarge && len(r.fields) == 1 {
		return CodeTooLarge
	}
	return CodeInvalid
}

func (r *reader) refusef(f field, format string, args ...any) {
	r.refuse(r.names.shown[f], fmt.Sprintf(format, args...))
}

func (r *reader) refuse(name, reason string) {
	if r.fields == nil {
		r.fields = map[string]string{}
	}
	if _, refused := r.fields[name]; !refused {
		r.fields[name] = reason
	}
}

// read returns a *wire.SyntaxError if the text is not JSON; everything else that is wrong with it is in fields. The
// event has all but its data, which are in eventData.
func (r *reader) read(object []byte) *wire.SyntaxError {
	err := r.members(object)
	var syntax *wire.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return syntax
	case err != nil:
		r.refuse("event", err.Error())
		return nil
	}
	r.copyTexts()
	e := r.event
	e.ID = r.id(fieldID)
	if r.names.cloud {
		r.cloud()
	}
	e.Version = r.text(fieldVersion)
	e.Type = r.text(fieldType)
	if e.Type != "" && !wire.IsType(e.Type) {
		r.refusef(fieldType, wire.ReasonType)
	}
	e.Timestamp = r.timestamp()
	e.Category = r.text(fieldCategory)
	e.Action = r.text(fieldAction)
	e.Outcome = wire.EventOutcome(r.text(fieldOutcome))
	if e.Outcome != "" && !e.Outcome.Valid() {
		r.refusef(fieldOutcome, wire.ReasonOutcome)
	}
	e.CorrelationID = r.text(fieldCorrelationID)
	r.actor()
	r.resource()
	e.Severity = r.text(fieldSeverity)
	e.DurationMicros = r.duration()
	e.ErrorCode = r.text(fieldErrorCode)
	e.ErrorMessage = r.text(fieldErrorMessage)
	e.ParentID = r.id(fieldParentID)
	r.retention()
	e.Sensitive = r.boolean(fieldSensitive)
	e.ProducerID = r.text(fieldProducerID)
	e.ProducerEpoch = r.integer(fieldProducerEpoch, &e.epoch)
	e.ProducerSeq = r.integer(fieldProducerSeq, &e.seq)
	r.checkData()
	return nil
}

// members sorts the members of the object into values.
func (r *reader) members(object []byte) error {
	if r.orderOf != r.names {
		clear(r.order[:])
		r.orderOf = r.names
	}
	unknown, place := 0, 0
	return wire.MembersWithData(object, r.names.shown[fieldData], &r.eventData, func(name, value []byte) error { //nolint:wrapcheck // worded for the client
		f := r.fieldAt(place, name)
		place++
		switch {
		case f == fieldNone && unknown == maxUnknown:
			return errTooManyUnknown
		case f == fieldNone:
			unknown++
			r.refuse(wire.Quotable(string(name)), wire.ReasonUnknown)
		case !wire.IsNull(value):
			r.values[f] = value
		}
		return nil
	})
}

// fieldAt returns the field of the member at a place of the event: most likely the one that was there before.
func (r *reader) fieldAt(place int, name []byte) field {
	if place >= len(r.order) {
		return r.names.fields[string(name)]
	}
	if f := r.order[place]; f == fieldNone || r.names.shown[f] != string(name) {
		r.order[place] = r.names.fields[string(name)]
	}
	return r.order[place]
}

// copyTexts copies the values that need no unescaping, all but the data, so that
// an event neither costs an allocation for each of its fields nor refers to the
// request's body with them.
func (r *reader) copyTexts() {
	for f := range r.values {
		value := r.values[f]
		if value == nil || field(f) == fieldData || bytes.IndexByte(value, '\\') >= 0 {
			continue
		}
		if wire.Kind(value) == '"' {
			value = value[1 : len(value)-1]
		}
		begin := len(r.scratch)
		r.scratch = append(r.scratch, value...)
		r.spans[f].begin, r.spans[f].end = int32(begin), int32(len(r.scratch)) //nolint:gosec // bodies are bounded far below
	}
	r.texts = string(r.scratch)
}

// copied returns what copyTexts copied of a field.
func (r *reader) copied(f field) (text string, ok bool) {
	span := r.spans[f]
	return r.texts[span.begin:span.end], span.end > span.begin
}

func (r *reader) actor() {
	e := r.event
	e.ActorType = r.text(fieldActorType)
	r.sentActorID = r.text(fieldActorID)
	if e.ActorID = r.sentActorID; e.ActorID == "" {
		e.ActorID = e.RecordedBy
	}
	if ip := r.text(fieldActorIP); ip != "" {
		address, ok := wire.ParseAddress(ip)
		if !ok {
			r.refusef(fieldActorIP, wire.ReasonAddress)
		}
		e.ActorIP = address.String()
	}
}

func (r *reader) resource() {
	e := r.event
	e.ResourceType = r.text(fieldResourceType)
	e.ResourceID = r.text(fieldResourceID)
	e.Namespace = r.text(fieldNamespace)
	e.ClusterID = r.text(fieldClusterID)
	older := r.text(fieldClusterName)
	switch {
	case e.ClusterID == "":
		e.ClusterID = older
	case older != "" && older != e.ClusterID:
		r.refusef(fieldClusterName, "is the older name of cluster_id and contradicts it")
	}
}

// text returns a text field, or "" after it noted what is wrong.
func (r *reader) text(f field) string {
	value := r.values[f]
	if value == nil {
		if rules[f].Required {
			r.refusef(f, wire.ReasonRequired)
		}
		return ""
	}
	text, err := r.textOf(f, value)
	if err != nil {
		r.refuse(r.names.shown[f], err.Error())
		return ""
	}
	if reason := rules[f].Check(text); reason != "" {
		r.refuse(r.names.shown[f], reason)
		return ""
	}
	return text
}

func (r *reader) textOf(f field, value []byte) (string, error) {
	if text, ok := r.copied(f); ok && wire.Kind(value) == '"' {
		return text, nil
	}
	return wire.Text(value) //nolint:wrapcheck // worded for the client
}

func (r *reader) id(f field) uuid.UUID {
	if r.values[f] == nil {
		return uuid.Nil
	}
	text := r.text(f)
	id, err := uuid.Parse(text)
	if err != nil || len(text) != idLength || id == uuid.Nil {
		r.refusef(f, "must be a UUID, for instance 0190163d-8694-739b-aea5-966c26f8ad91, and not the nil one")
		return uuid.Nil
	}
	return id
}

func (r *reader) timestamp() time.Time {
	text := r.text(fieldTimestamp)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		r.refusef(fieldTimestamp, "must be an RFC 3339 time, for instance 2026-01-02T15:04:05.123456Z")
		return time.Time{}
	}
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1 {
		r.refusef(fieldTimestamp, "must not be before the year 1")
	}
	return t
}

// scalar returns the literal of a number or boolean; CloudEvents may carry it as text.
func (r *reader) scalar(f field) (string, bool) {
	value := r.values[f]
	if value == nil {
		return "", false
	}
	if r.names.cloud && wire.Kind(value) == '"' {
		return r.text(f), true
	}
	if text, ok := r.copied(f); ok && wire.Kind(value) != '"' {
		return text, true
	}
	return string(value), true
}

func (r *reader) integer(f field, room *int64) *int64 {
	literal, given := r.scalar(f)
	if !given {
		return nil
	}
	n, err := strconv.ParseInt(literal, 10, 64)
	if err != nil || n < 0 {
		r.refusef(f, "must be a whole number from 0 to %d", int64(math.MaxInt64))
		return nil
	}
	*room = n
	return room
}

func (r *reader) duration() *int64 {
	literal, given := r.scalar(fieldDuration)
	if !given {
		return nil
	}
	ms, err := strconv.ParseFloat(literal, 64)
	if err != nil || !(ms >= 0 && ms <= wire.MaxDurationMilliseconds) {
		r.refusef(fieldDuration, wire.ReasonDuration)
		return nil
	}
	const microsPerMilli = 1000
	r.event.duration = int64(math.Round(ms * microsPerMilli))
	return &r.event.duration
}

func (r *reader) retention() {
	if literal, given := r.scalar(fieldRetention); given {
		days, err := strconv.ParseInt(literal, 10, 32)
		if err != nil || days < 1 || days > wire.MaxRetentionDays {
			r.refusef(fieldRetention, wire.ReasonRetention)
			return
		}
		r.sentRetention = int32(days)
	}
	r.event.RetentionDays = r.limits.Retention.days(r.event.Category, r.sentRetention)
}

func (r *reader) boolean(f field) bool {
	literal, given := r.scalar(f)
	if given && literal != "true" && literal != "false" {
		r.refusef(f, "must be true or false")
	}
	return literal == "true"
}

func (r *reader) checkData() {
	if r.values[fieldData] == nil {
		r.refusef(fieldData, wire.ReasonRequired)
		return
	}
	if err := r.eventData.Check(r.event.Type, r.limits.DataBytes); err != nil {
		r.tooLarge = errors.Is(err, wire.ErrCanonical)
		r.refuse(r.names.shown[fieldData], err.Error())
	}
}
