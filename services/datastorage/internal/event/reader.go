package event

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/strictjson"
)

// The longest texts, in characters.
const (
	maxVersion       = 20
	maxType          = 100
	maxShort         = 50
	maxKind          = 100
	maxID            = 255
	maxNamespace     = 253
	maxErrorMessage  = 4096
	maxRetentionDays = 36_500
	maxDurationMs    = 1e12
	uuidLength       = 36
)

// maxUnknown bounds the unknown fields of an event that a refusal names, so that
// an answer does not become many times as large as the request.
const maxUnknown = 20

// defaultRetentionDays is seven years, the longest of the usual duties to keep records.
const defaultRetentionDays = 2555

// The words that say what is wrong with a field.
const (
	reasonRequired = "is required"
	reasonUnknown  = "is not a known field"
	reasonObject   = "must be a JSON object"
)

var typePattern = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)+$`)

// reader fills an event from the members of one JSON object and notes
// everything that is wrong with it.
type reader struct {
	names  naming
	limits Limits
	now    time.Time

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

func (r *reader) read(object []byte) {
	r.values = make(map[string][]byte, len(r.names.fields))
	unknown := 0
	err := strictjson.Members(object, func(name string, value []byte) error {
		field, known := r.names.fields[name]
		switch {
		case !known && unknown == maxUnknown:
			return fmt.Errorf("it has more than %d unknown fields", maxUnknown)
		case !known:
			unknown++
			r.refusef(strictjson.Shorten(name), reasonUnknown)
		case !strictjson.IsNull(value):
			r.values[field] = value
		}
		return nil
	})
	if err != nil {
		r.refusef("event", "is not usable: %v", err)
		return
	}
	e := r.event
	e.ID = r.id("event_id")
	if r.names.cloud {
		r.cloud()
	}
	e.Version = r.text("version", maxVersion, true)
	e.Type = r.text("event_type", maxType, true)
	if e.Type != "" && !typePattern.MatchString(e.Type) {
		r.refusef("event_type", "must be dotted lower case words, as in gateway.signal.received")
	}
	e.Timestamp = r.timestamp()
	e.Category = r.text("event_category", maxShort, true)
	e.Action = r.text("event_action", maxShort, true)
	e.Outcome = Outcome(r.text("event_outcome", maxShort, true))
	if e.Outcome != "" && !e.Outcome.Valid() {
		r.refusef("event_outcome", "must be success, failure or pending")
	}
	e.CorrelationID = r.text("correlation_id", maxID, true)
	r.actor()
	r.resource()
	e.Severity = r.text("severity", maxShort, false)
	e.DurationMicros = r.duration()
	e.ErrorCode = r.text("error_code", maxKind, false)
	e.ErrorMessage = r.text("error_message", maxErrorMessage, false)
	e.ParentID = r.id("parent_event_id")
	r.retention()
	e.Sensitive = r.boolean("is_sensitive")
	e.ProducerID = r.text("producer_id", maxID, false)
	e.ProducerEpoch = r.integer("producer_epoch", math.MaxInt64)
	e.ProducerSeq = r.integer("producer_seq", math.MaxInt64)
	e.Data = r.data()
}

func (r *reader) actor() {
	e := r.event
	e.ActorType = r.text("actor_type", maxShort, false)
	r.sentActorID = r.text("actor_id", maxID, false)
	if e.ActorID = r.sentActorID; e.ActorID == "" {
		e.ActorID = e.RecordedBy
	}
	if ip := r.text("actor_ip", maxShort, false); ip != "" {
		address, err := netip.ParseAddr(ip)
		if err != nil || address.Zone() != "" {
			r.refusef("actor_ip", "must be an IPv4 or IPv6 address")
		}
		e.ActorIP = address.String()
	}
}

func (r *reader) resource() {
	e := r.event
	e.ResourceType = r.text("resource_type", maxKind, false)
	e.ResourceID = r.text("resource_id", maxID, false)
	e.Namespace = r.text("namespace", maxNamespace, false)
	e.ClusterID = r.text("cluster_id", maxID, false)
	older := r.text("cluster_name", maxID, false)
	switch {
	case e.ClusterID == "":
		e.ClusterID = older
	case older != "" && older != e.ClusterID:
		r.refusef("cluster_name", "is the older name of cluster_id and contradicts it")
	}
}

// text returns a string field, or "" after it noted what is wrong.
func (r *reader) text(field string, most int, required bool) string {
	value, given := r.values[field]
	if !given {
		if required {
			r.refusef(field, reasonRequired)
		}
		return ""
	}
	text, err := strictjson.Text(value)
	switch {
	case errors.Is(err, strictjson.ErrNotText):
		r.refusef(field, "must be a string")
	case err != nil:
		r.refusef(field, "%v", err)
	case text == "" && required:
		r.refusef(field, reasonRequired)
	case utf8.RuneCountInString(text) > most:
		r.refusef(field, "must be at most %d characters", most)
	default:
		return text
	}
	return ""
}

func (r *reader) id(field string) uuid.UUID {
	text := r.text(field, uuidLength, false)
	if text == "" {
		if _, given := r.values[field]; given {
			r.refusef(field, "must be a UUID")
		}
		return uuid.Nil
	}
	id, err := uuid.Parse(text)
	if err != nil || len(text) != uuidLength || id == uuid.Nil {
		r.refusef(field, "must be a UUID, as in 0190163d-8694-739b-aea5-966c26f8ad91, and not the nil one")
		return uuid.Nil
	}
	return id
}

func (r *reader) timestamp() time.Time {
	text := r.text("event_timestamp", maxShort, true)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		r.refusef("event_timestamp", "must be an RFC 3339 time, as in 2026-01-02T15:04:05.123456Z")
		return time.Time{}
	}
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1 {
		r.refusef("event_timestamp", "must not lie before the year 1")
	}
	if t.After(r.now.Add(r.limits.Ahead)) {
		r.refusef("event_timestamp", "lies more than %s in the future: check the clock of the sender", r.limits.Ahead)
	}
	return t
}

// scalar returns the literal of a number or boolean; CloudEvents may carry it as text.
func (r *reader) scalar(field string) (string, bool) {
	value, given := r.values[field]
	if !given {
		return "", false
	}
	if r.names.cloud && strictjson.Kind(value) == '"' {
		return r.text(field, maxShort, false), true
	}
	return strings.TrimSpace(string(value)), true
}

func (r *reader) integer(field string, most int64) *int64 {
	literal, given := r.scalar(field)
	if !given {
		return nil
	}
	n, err := strconv.ParseInt(literal, 10, 64)
	if err != nil || n < 0 || n > most {
		r.refusef(field, "must be a whole number from 0 to %d", most)
		return nil
	}
	return &n
}

func (r *reader) duration() *int64 {
	literal, given := r.scalar("duration_ms")
	if !given {
		return nil
	}
	ms, err := strconv.ParseFloat(literal, 64)
	if err != nil || !(ms >= 0 && ms <= maxDurationMs) {
		r.refusef("duration_ms", "must be a number of milliseconds from 0 to %g", float64(maxDurationMs))
		return nil
	}
	const microsPerMilli = 1000
	micros := int64(math.Round(ms * microsPerMilli))
	return &micros
}

func (r *reader) retention() {
	days := r.integer("retention_days", maxRetentionDays)
	switch {
	case days == nil:
		r.event.RetentionDays = defaultRetentionDays
	case *days == 0:
		r.refusef("retention_days", "must be from 1 to %d", maxRetentionDays)
	default:
		r.sentRetention = int32(*days) //nolint:gosec // bounded above
		r.event.RetentionDays = r.sentRetention
	}
}

func (r *reader) boolean(field string) bool {
	literal, given := r.scalar(field)
	if given && literal != "true" && literal != "false" {
		r.refusef(field, "must be true or false")
	}
	return literal == "true"
}

func (r *reader) data() []byte {
	const field = "event_data"
	value, given := r.values[field]
	if !given {
		r.refusef(field, reasonRequired)
		return nil
	}
	if strictjson.Kind(value) != '{' {
		r.refusef(field, reasonObject)
		return nil
	}
	data, err := strictjson.Canonical(value, r.limits.DataBytes)
	if err != nil {
		r.tooLarge = errors.Is(err, strictjson.ErrTooLarge)
		if r.tooLarge {
			r.refusef(field, "is larger than %d bytes", r.limits.DataBytes)
		} else {
			r.refusef(field, "is not usable: %v", err)
		}
		return nil
	}
	r.innerType(data)
	return data
}

// innerType holds the event_type that older clients repeat in their data
// against the event's own.
func (r *reader) innerType(data []byte) {
	const field = "event_type"
	err := strictjson.Members(data, func(name string, value []byte) error {
		if name != field {
			return nil
		}
		if inner, err := strictjson.Text(value); err != nil || inner != r.event.Type {
			r.refusef("event_data", "holds an event_type that contradicts the event's own")
		}
		return nil
	})
	if err != nil {
		r.refusef("event_data", "is not usable: %v", err)
	}
}
