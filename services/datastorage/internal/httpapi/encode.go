package httpapi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/query"
)

// appendEvent appends the JSON of a stored event: what encoding/json makes of
// wireEvent, byte for byte, in a fraction of its time. Most of the work of a list
// is to write its events.
func appendEvent(out []byte, s *query.Stored, belongs belonging) ([]byte, error) {
	o := object{out: append(out, '{')}
	o.some("actor_id", s.ActorID)
	o.some("actor_ip", s.ActorIP)
	o.some("actor_type", s.ActorType)
	o.someID("claimed_event_id", s.ClaimedID)
	if skew := s.ClockSkew(); skew > 0 {
		o.number("clock_skew_ms", skew.Milliseconds())
	}
	o.some("cluster_id", s.ClusterID)
	o.text("correlation_id", s.CorrelationID)
	if s.DurationMicros != nil {
		const microsPerMilli, bits = 1000, 64
		o.name("duration_ms")
		o.out = strconv.AppendFloat(o.out, float64(*s.DurationMicros)/microsPerMilli, 'f', -1, bits)
	}
	if s.ErasedAt != nil {
		o.time("erased_at", *s.ErasedAt)
	}
	o.some("error_code", s.ErrorCode)
	o.some("error_message", s.ErrorMessage)
	o.text("event_action", s.Action)
	o.text("event_category", s.Category)
	if len(s.Data) > 0 { // it was not erased
		o.name("event_data")
		o.out = appendCompact(o.out, s.Data)
	}
	o.text("event_date", s.Timestamp.Format(time.DateOnly))
	o.id("event_id", s.ID)
	o.text("event_outcome", string(s.Outcome))
	o.time("event_timestamp", s.Timestamp)
	o.text("event_type", s.Type)
	o.flag("foreign", belongs.foreign)
	o.name("is_sensitive")
	o.out = strconv.AppendBool(o.out, s.Sensitive)
	o.some("namespace", s.Namespace)
	o.someID("parent_event_id", s.ParentID)
	o.someNumber("producer_epoch", s.ProducerEpoch)
	o.some("producer_id", s.ProducerID)
	o.someNumber("producer_seq", s.ProducerSeq)
	o.time("received_at", s.ReceivedAt)
	o.some("recorded_by", s.RecordedBy)
	o.flag("recorder_unchecked", belongs.unchecked)
	o.some("resource_id", s.ResourceID)
	o.some("resource_type", s.ResourceType)
	o.number("retention_days", int64(s.RetentionDays))
	o.some("severity", s.Severity)
	o.text("version", s.Version)
	return append(o.out, '}'), o.err
}

// encodeCreated is the answer to one event, as encoding/json makes it, for the same reason.
func encodeCreated(created *api.EventCreated) ([]byte, error) {
	const most = 256 // of a usual answer
	o := object{out: append(make([]byte, 0, most), '{')}
	o.text("consistency_token", created.ConsistencyToken)
	o.id("event_id", created.EventId)
	o.time("event_timestamp", created.EventTimestamp)
	o.text("message", created.Message)
	if created.StoredAs != nil {
		o.id("stored_as", *created.StoredAs)
	}
	return append(o.out, '}', '\n'), o.err
}

// encodeBatchCreated is the answer to a batch, as encoding/json makes it, for the same reason.
func encodeBatchCreated(created *api.BatchCreated) ([]byte, error) {
	const most, anID = 256, 39 // of a usual answer without its ids, and of an id with its quotes and comma
	o := object{out: append(make([]byte, 0, most+anID*len(created.EventIds)), '{')}
	o.text("consistency_token", created.ConsistencyToken)
	o.number("created", int64(created.Created))
	o.number("duplicates", int64(created.Duplicates))
	o.name("event_ids")
	o.out = append(o.out, '[')
	for i, id := range created.EventIds {
		if i > 0 {
			o.out = append(o.out, ',')
		}
		o.out = appendID(o.out, id)
	}
	o.out = append(o.out, ']')
	o.text("message", created.Message)
	if created.StoredAs != nil {
		text, err := json.Marshal(*created.StoredAs) // few events, if any
		o.err = err
		o.name("stored_as")
		o.out = append(o.out, text...)
	}
	return append(o.out, '}', '\n'), o.err
}

// object appends the members of a JSON object.
type object struct {
	out []byte
	err error
}

func (o *object) name(name string) {
	if o.out[len(o.out)-1] != '{' {
		o.out = append(o.out, ',')
	}
	o.out = append(o.out, '"')
	o.out = append(o.out, name...)
	o.out = append(o.out, '"', ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.out = appendText(o.out, value)
}

// some appends a text that is there.
func (o *object) some(name, value string) {
	if value != "" {
		o.text(name, value)
	}
}

func (o *object) number(name string, value int64) {
	o.name(name)
	o.out = strconv.AppendInt(o.out, value, 10) //nolint:mnd // decimal
}

func (o *object) someNumber(name string, value *int64) {
	if value != nil {
		o.number(name, *value)
	}
}

// flag appends one that is set.
func (o *object) flag(name string, value bool) {
	if value {
		o.name(name)
		o.out = append(o.out, "true"...)
	}
}

func (o *object) id(name string, value uuid.UUID) {
	o.name(name)
	o.out = appendID(o.out, value)
}

func (o *object) someID(name string, value uuid.UUID) {
	if value != uuid.Nil {
		o.id(name, value)
	}
}

func (o *object) time(name string, value time.Time) {
	o.name(name)
	o.out = append(o.out, '"')
	var err error
	if o.out, err = value.AppendText(o.out); err != nil {
		o.err = fmt.Errorf("encode %s: %w", name, err)
	}
	o.out = append(o.out, '"')
}

// appendID appends an id as a JSON string.
func appendID(out []byte, id uuid.UUID) []byte {
	return append(event.AppendID(append(out, '"'), id), '"')
}

// appendText appends a JSON string. Like encoding/json, it escapes what HTML gives
// a meaning, and line separators of JavaScript.
func appendText(out []byte, text string) []byte {
	out = append(out, '"')
	done := 0
	for i := 0; i < len(text); {
		if !special[text[i]] {
			i++
			continue
		}
		escaped, n := escape(text[i:])
		if escaped != "" {
			out = append(append(out, text[done:i]...), escaped...)
			done = i + n
		}
		i += n
	}
	return append(append(out, text[done:]...), '"')
}

// special are the bytes that a JSON string may need an escape for.
var special = func() (special [256]bool) {
	for b := range special {
		special[b] = b < ' ' || b >= utf8.RuneSelf
	}
	for _, b := range `"\<>&` {
		special[b] = true
	}
	return special
}()

// escape returns what stands for the first character of a text, which is special,
// and its length; "" if the character stands for itself.
func escape(text string) (escaped string, n int) {
	b := text[0]
	switch {
	case b == '"':
		return `\"`, 1
	case b == '\\':
		return `\\`, 1
	case b < utf8.RuneSelf:
		return escapeControl(b), 1
	}
	r, n := utf8.DecodeRuneInString(text)
	switch {
	case r == utf8.RuneError && n == 1:
		return `\ufffd`, 1
	case r == '\u2028':
		return `\u2028`, n
	case r == '\u2029':
		return `\u2029`, n
	}
	return "", n
}

func escapeControl(b byte) string {
	switch b {
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	const hex, nibble, mask = "0123456789abcdef", 4, 15
	return string([]byte{'\\', 'u', '0', '0', hex[b>>nibble], hex[b&mask]})
}

// appendCompact appends JSON that PostgreSQL wrote, which is valid, without the
// spaces between its parts, and with the escapes of appendText.
func appendCompact(out, text []byte) []byte {
	done, quoted := 0, false
	for i := 0; i < len(text); i++ {
		b := text[i]
		if !special[b] && b != ' ' {
			continue
		}
		switch b {
		case ' ':
			if !quoted {
				out = append(out, text[done:i]...)
				done = i + 1
			}
		case '"':
			quoted = !quoted
		case '\\':
			i++ // it is a part of a string, and what follows it, too
		default:
			escaped, n := escape(string(text[i:min(i+utf8.UTFMax, len(text))]))
			if escaped != "" {
				out = append(append(out, text[done:i]...), escaped...)
				done = i + n
			}
			i += n - 1
		}
	}
	return append(out, text[done:]...)
}
