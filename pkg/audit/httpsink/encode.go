package httpsink

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

// appendBatch appends events, one a line, as DataStorage takes them. What would
// break out of its line is refused by name, so that it does not take the others along.
func appendBatch(b []byte, batch []audit.Event) ([]byte, error) {
	var refused []audit.Refusal
	for i := range batch {
		if reason := unwritable(&batch[i]); reason != "" {
			refused = append(refused, audit.Refusal{Index: i, Code: string(wire.ItemProblemCodeInvalid), Reason: reason})
			continue
		}
		b = append(appendEvent(b, &batch[i]), '\n')
	}
	if refused != nil {
		return b, &audit.RefusedError{Items: refused}
	}
	return b, nil
}

// unwritable says why an event has no wire form, "" where it has one.
func unwritable(e *audit.Event) string {
	if year := e.Timestamp.UTC().Year(); year < 0 || year > 9999 {
		return fmt.Sprintf(wire.FieldTimestamp+" is of the year %d", year)
	}
	if err := wire.CheckData(e.Data, e.Type); err != nil {
		return wire.FieldData + " " + err.Error()
	}
	return ""
}

// appendEvent appends the wire form of an event. Members stand in the order of
// their names; all but the last bring their comma.
func appendEvent(b []byte, e *audit.Event) []byte {
	b = append(b, '{')
	b = appendOptional(b, `"actor_id":`, e.ActorID)
	b = appendOptional(b, `"actor_ip":`, e.ActorIP)
	b = appendOptional(b, `"actor_type":`, e.ActorType)
	b = appendOptional(b, `"cluster_id":`, e.ClusterID)
	b = appendMember(b, `"correlation_id":`, e.CorrelationID)
	if e.Duration != nil {
		b = append(b, `"duration_ms":`...)
		b = strconv.AppendFloat(b, float64(e.Duration.Microseconds())/1000, 'f', -1, 64)
		b = append(b, ',')
	}
	b = appendOptional(b, `"error_code":`, e.ErrorCode)
	b = appendOptional(b, `"error_message":`, e.ErrorMessage)
	b = appendMember(b, `"event_action":`, e.Action)
	b = appendMember(b, `"event_category":`, e.Category)
	b = append(b, `"event_data":`...)
	b = appendData(b, e.Data)
	b = append(b, ',')
	b = appendID(b, `"event_id":"`, e.ID)
	b = appendMember(b, `"event_outcome":`, string(e.Outcome))
	b = append(b, `"event_timestamp":"`...)
	b = e.Timestamp.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `",`...)
	b = appendMember(b, `"event_type":`, e.Type)
	if e.Sensitive {
		b = append(b, `"is_sensitive":true,`...)
	}
	b = appendOptional(b, `"namespace":`, e.Namespace)
	b = appendID(b, `"parent_event_id":"`, e.ParentID)
	b = appendProducer(b, &e.Producer)
	b = appendOptional(b, `"resource_id":`, e.ResourceID)
	b = appendOptional(b, `"resource_type":`, e.ResourceType)
	if e.RetentionDays != 0 {
		b = append(b, `"retention_days":`...)
		b = strconv.AppendInt(b, int64(e.RetentionDays), 10)
		b = append(b, ',')
	}
	b = appendOptional(b, `"severity":`, e.Severity)
	b = append(b, `"version":`...)
	b = appendText(b, e.Version)
	return append(b, '}')
}

// appendData appends JSON that was checked, on one line.
func appendData(b []byte, data json.RawMessage) []byte {
	if bytes.IndexByte(data, '\n') < 0 {
		return append(b, data...)
	}
	compact := bytes.NewBuffer(b)
	_ = json.Compact(compact, data)
	return compact.Bytes()
}

func appendProducer(b []byte, p *audit.Producer) []byte {
	if *p == (audit.Producer{}) {
		return b
	}
	b = append(b, `"producer_epoch":`...)
	b = strconv.AppendInt(b, p.Epoch, 10)
	b = append(b, ',')
	b = appendOptional(b, `"producer_id":`, p.ID)
	b = append(b, `"producer_seq":`...)
	// The wire form ends there, and so does DataStorage's column.
	b = strconv.AppendUint(b, min(p.Sequence, math.MaxInt64), 10)
	return append(b, ',')
}

// appendID appends a member with an id, if there is one; name ends in the quote of the id.
func appendID(b []byte, name string, id uuid.UUID) []byte {
	if id == uuid.Nil {
		return b
	}
	b = append(b, name...)
	b = append(hex.AppendEncode(b, id[:4]), '-')
	b = append(hex.AppendEncode(b, id[4:6]), '-')
	b = append(hex.AppendEncode(b, id[6:8]), '-')
	b = append(hex.AppendEncode(b, id[8:10]), '-')
	b = hex.AppendEncode(b, id[10:])
	return append(b, `",`...)
}

func appendOptional(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return appendMember(b, name, text)
}

func appendMember(b []byte, name, text string) []byte {
	b = append(b, name...)
	b = appendText(b, text)
	return append(b, ',')
}

// appendText appends a JSON string as encoding/json writes it without HTML
// escapes: what is not UTF-8 becomes U+FFFD, and the line separators U+2028
// and U+2029, which JavaScript does not take in a string, are escaped.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	done := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				b = append(b, text[done:i]...)
				b = appendEscape(b, c)
				done = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, text[done:i]...)
			b = append(b, `\ufffd`...)
			done = i + size
		case r == '\u2028', r == '\u2029':
			b = append(b, text[done:i]...)
			b = append(b, `\u202`...)
			b = append(b, byte('0'+r&0xf))
			done = i + size
		}
		i += size
	}
	b = append(b, text[done:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	default:
		return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
	}
}
