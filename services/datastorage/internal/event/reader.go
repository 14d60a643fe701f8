package event

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// maxUnknown bounds the unknown fields of an event that a refusal names, so that
// an answer does not become many times as large as the request.
const maxUnknown = 20

var errTooManyUnknown = fmt.Errorf("has more than %d unknown fields", maxUnknown)

// defaultRetentionDays is seven years, the longest of the usual duties to keep records.
const defaultRetentionDays = 2555

// reader fills an event from the members of one JSON object and notes
// everything that is wrong with it.
type reader struct {
	names  naming
	limits Limits

	values map[string][]byte
	event  *Event
	fields map[string]string // what is wrong, by wire name
	// tooLarge: one field at least is refused for its size.
	tooLarge bool

	sentActorID   string
	sentRetention int32
}

func (r *reader) code() Code {
	if r.tooLarge && len(r.fields) == 1 {
		return CodeTooLarge
	}
	return CodeInvalid
}

func (r *reader) refusef(field, format string, args ...any) {
	if r.fields == nil {
		r.fields = map[string]string{}
	}
	name := r.names.name(field)
	if _, refused := r.fields[name]; !refused {
		r.fields[name] = fmt.Sprintf(format, args...)
	}
}

// read returns a *wire.SyntaxError if the text is not JSON; everything else that is wrong with it is in fields.
func (r *reader) read(object []byte) *wire.SyntaxError {
	r.values = make(map[string][]byte, len(r.names.fields))
	unknown := 0
	err := wire.Members(object, func(name, value []byte) error {
		field, known := r.names.fields[string(name)]
		switch {
		case !known && unknown == maxUnknown:
			return errTooManyUnknown
		case !known:
			unknown++
			r.refusef(wire.Quotable(string(name)), wire.ReasonUnknown)
		case !wire.IsNull(value):
			r.values[field] = value
		}
		return nil
	})
	var syntax *wire.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return syntax
	case err != nil:
		r.refusef("event", "%v", err)
		return nil
	}
	e := r.event
	e.ID = r.id(wire.FieldID)
	if r.names.cloud {
		r.cloud()
	}
	e.Version = r.text(&wire.FieldVersion)
	e.Type = r.text(&wire.FieldType)
	if e.Type != "" && !wire.IsType(e.Type) {
		r.refusef(wire.FieldType.Name, wire.ReasonType)
	}
	e.Timestamp = r.timestamp()
	e.Category = r.text(&wire.FieldCategory)
	e.Action = r.text(&wire.FieldAction)
	e.Outcome = wire.EventOutcome(r.text(&wire.FieldOutcome))
	if e.Outcome != "" && !e.Outcome.Valid() {
		r.refusef(wire.FieldOutcome.Name, wire.ReasonOutcome)
	}
	e.CorrelationID = r.text(&wire.FieldCorrelationID)
	r.actor()
	r.resource()
	e.Severity = r.text(&wire.FieldSeverity)
	e.DurationMicros = r.duration()
	e.ErrorCode = r.text(&wire.FieldErrorCode)
	e.ErrorMessage = r.text(&wire.FieldErrorMessage)
	e.ParentID = r.id(wire.FieldParentID)
	r.retention()
	e.Sensitive = r.boolean(wire.FieldSensitive)
	e.ProducerID = r.text(&wire.FieldProducerID)
	e.ProducerEpoch = r.integer(wire.FieldProducerEpoch)
	e.ProducerSeq = r.integer(wire.FieldProducerSeq)
	e.Data = r.data()
	return nil
}

func (r *reader) actor() {
	e := r.event
	e.ActorType = r.text(&wire.FieldActorType)
	r.sentActorID = r.text(&wire.FieldActorID)
	if e.ActorID = r.sentActorID; e.ActorID == "" {
		e.ActorID = e.RecordedBy
	}
	if ip := r.text(&wire.FieldActorIP); ip != "" {
		address, ok := wire.ParseAddress(ip)
		if !ok {
			r.refusef(wire.FieldActorIP.Name, wire.ReasonAddress)
		}
		e.ActorIP = address.String()
	}
}

func (r *reader) resource() {
	e := r.event
	e.ResourceType = r.text(&wire.FieldResourceType)
	e.ResourceID = r.text(&wire.FieldResourceID)
	e.Namespace = r.text(&wire.FieldNamespace)
	e.ClusterID = r.text(&wire.FieldClusterID)
	older := r.text(&wire.FieldClusterName)
	switch {
	case e.ClusterID == "":
		e.ClusterID = older
	case older != "" && older != e.ClusterID:
		r.refusef(wire.FieldClusterName.Name, "is the older name of cluster_id and contradicts it")
	}
}

// text returns a text field, or "" after it noted what is wrong.
func (r *reader) text(field *wire.TextField) string {
	value, given := r.values[field.Name]
	if !given {
		if field.Required {
			r.refusef(field.Name, wire.ReasonRequired)
		}
		return ""
	}
	text, err := wire.Text(value)
	if err != nil {
		r.refusef(field.Name, "%v", err)
		return ""
	}
	if reason := field.Check(text); reason != "" {
		r.refusef(field.Name, "%s", reason)
		return ""
	}
	return text
}

func (r *reader) id(field string) uuid.UUID {
	const length = 36
	if _, given := r.values[field]; !given {
		return uuid.Nil
	}
	text := r.text(&wire.TextField{Name: field, Most: length, Required: true})
	id, err := uuid.Parse(text)
	if err != nil || len(text) != length || id == uuid.Nil {
		r.refusef(field, "must be a UUID, for instance 0190163d-8694-739b-aea5-966c26f8ad91, and not the nil one")
		return uuid.Nil
	}
	return id
}

func (r *reader) timestamp() time.Time {
	const longest = 50
	text := r.text(&wire.TextField{Name: wire.FieldTimestamp, Most: longest, Required: true})
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		r.refusef(wire.FieldTimestamp, "must be an RFC 3339 time, for instance 2026-01-02T15:04:05.123456Z")
		return time.Time{}
	}
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1 {
		r.refusef(wire.FieldTimestamp, "must not be before the year 1")
	}
	return t
}

// scalar returns the literal of a number or boolean; CloudEvents may carry it as text.
func (r *reader) scalar(field string) (string, bool) {
	const longest = 50
	value, given := r.values[field]
	if !given {
		return "", false
	}
	if r.names.cloud && wire.Kind(value) == '"' {
		return r.text(&wire.TextField{Name: field, Most: longest}), true
	}
	return string(value), true
}

func (r *reader) integer(field string) *int64 {
	literal, given := r.scalar(field)
	if !given {
		return nil
	}
	n, err := strconv.ParseInt(literal, 10, 64)
	if err != nil || n < 0 {
		r.refusef(field, "must be a whole number from 0 to %d", int64(math.MaxInt64))
		return nil
	}
	return &n
}

func (r *reader) duration() *int64 {
	literal, given := r.scalar(wire.FieldDuration)
	if !given {
		return nil
	}
	ms, err := strconv.ParseFloat(literal, 64)
	if err != nil || !(ms >= 0 && ms <= wire.MaxDurationMilliseconds) {
		r.refusef(wire.FieldDuration, wire.ReasonDuration)
		return nil
	}
	const microsPerMilli = 1000
	micros := int64(math.Round(ms * microsPerMilli))
	return &micros
}

func (r *reader) retention() {
	r.event.RetentionDays = defaultRetentionDays
	literal, given := r.scalar(wire.FieldRetention)
	if !given {
		return
	}
	days, err := strconv.ParseInt(literal, 10, 32)
	if err != nil || days < 1 || days > wire.MaxRetentionDays {
		r.refusef(wire.FieldRetention, wire.ReasonRetention)
		return
	}
	r.sentRetention = int32(days)
	r.event.RetentionDays = r.sentRetention
}

func (r *reader) boolean(field string) bool {
	literal, given := r.scalar(field)
	if given && literal != "true" && literal != "false" {
		r.refusef(field, "must be true or false")
	}
	return literal == "true"
}

func (r *reader) data() []byte {
	value, given := r.values[wire.FieldData]
	if !given {
		r.refusef(wire.FieldData, wire.ReasonRequired)
		return nil
	}
	data, err := wire.CanonicalData(value, r.event.Type, r.limits.DataBytes)
	if err != nil {
		r.tooLarge = errors.Is(err, wire.ErrCanonical)
		r.refusef(wire.FieldData, "%v", err)
		return nil
	}
	return data
}
