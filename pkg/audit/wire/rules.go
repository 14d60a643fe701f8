package wire

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// TextField is a field of an event that holds text.
type TextField struct {
	// Name on the wire.
	Name string
	// Most is the longest text, in characters.
	Most int
	// Required: the text must not be empty.
	Required bool
}

// The text fields of an event. A client may leave out the version, which the library fills in.
var (
	FieldVersion       = TextField{"version", 20, true}
	FieldType          = TextField{"event_type", 100, true}
	FieldCategory      = TextField{"event_category", 50, true}
	FieldAction        = TextField{"event_action", 50, true}
	FieldOutcome       = TextField{"event_outcome", 50, true}
	FieldCorrelationID = TextField{"correlation_id", 255, true}
	FieldActorType     = TextField{"actor_type", 50, false}
	FieldActorID       = TextField{"actor_id", 255, false}
	FieldActorIP       = TextField{"actor_ip", 50, false}
	FieldResourceType  = TextField{"resource_type", 100, false}
	FieldResourceID    = TextField{"resource_id", 255, false}
	FieldNamespace     = TextField{"namespace", 253, false}
	FieldClusterID     = TextField{"cluster_id", 255, false}
	FieldClusterName   = TextField{"cluster_name", 255, false} // the older name of cluster_id
	FieldSeverity      = TextField{"severity", 50, false}
	FieldErrorCode     = TextField{"error_code", 100, false}
	FieldErrorMessage  = TextField{"error_message", 4096, false}
	FieldProducerID    = TextField{"producer_id", 255, false}
)

// The names of the other fields.
const (
	FieldID            = "event_id"
	FieldTimestamp     = "event_timestamp"
	FieldData          = "event_data"
	FieldDuration      = "duration_ms"
	FieldParentID      = "parent_event_id"
	FieldRetention     = "retention_days"
	FieldSensitive     = "is_sensitive"
	FieldProducerEpoch = "producer_epoch"
	FieldProducerSeq   = "producer_seq"
)

// The bounds of numbers.
const (
	// MaxDurationMilliseconds bounds duration_ms.
	MaxDurationMilliseconds = 1e12
	// MaxRetentionDays bounds retention_days: a hundred years.
	MaxRetentionDays = 36_500
)

// The reasons that say what is wrong with a field, worded to follow its name.
const (
	ReasonRequired  = "is required"
	ReasonUnknown   = "is not a known field"
	ReasonType      = "must be dotted lower case words, for instance gateway.signal.received"
	ReasonOutcome   = "must be success, failure or pending"
	ReasonAddress   = "must be an IPv4 or IPv6 address, without a zone"
	ReasonDuration  = "must be a number of milliseconds from 0 to 1e12"
	ReasonRetention = "must be a whole number of days from 1 to 36500"
)

// Check returns what is wrong with a text, "" if nothing is.
func (f *TextField) Check(text string) string {
	if text == "" {
		if f.Required {
			return ReasonRequired
		}
		return ""
	}
	if len(text) <= f.Most && isPlain(text) {
		return ""
	}
	switch {
	case !utf8.ValidString(text):
		return ErrUTF8.Error()
	case strings.IndexByte(text, 0) >= 0:
		return ErrNUL.Error()
	case utf8.RuneCountInString(text) > f.Most:
		return fmt.Sprintf("must be at most %d characters", f.Most)
	default:
		return ""
	}
}

// isPlain reports whether a text is ASCII without NUL.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c == 0 || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// IsType reports whether a text has the form of an event's type: two or more segments of [a-z0-9_-] with a dot
// between them.
func IsType(text string) bool {
	segment, dots := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '.':
			if segment == 0 {
				return false
			}
			dots++
			segment = 0
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-':
			segment++
		default:
			return false
		}
	}
	return dots > 0 && segment > 0
}

// ParseAddress parses an actor's IP address, which has no zone.
func ParseAddress(text string) (address netip.Addr, ok bool) {
	address, err := netip.ParseAddr(text)
	return address, err == nil && address.Zone() == ""
}
