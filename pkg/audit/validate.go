package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// MaxDataBytes is the size of the largest Event.Data, in bytes, both as it is
// and in the canonical form in which DataStorage keeps it.
const MaxDataBytes = wire.MaxBytes

// MaxFootprint is the footprint of the largest valid event, rounded up. A sink whose limits are below it cannot be used.
const MaxFootprint = MaxDataBytes + 64<<10

// maxDuration is the longest Event.Duration.
const maxDuration = 1e12 * time.Millisecond

// maxRetentionDays is a hundred years.
const maxRetentionDays = 36500

// ValidationError says which fields of an event are not usable.
type ValidationError struct {
	// Fields maps a field's name on the wire to what is wrong with it.
	Fields map[string]string
}

// Error names every field.
func (e *ValidationError) Error() string { return "invalid audit event: " + e.fieldText() }

func (e *ValidationError) fieldText() string {
	parts := make([]string, 0, len(e.Fields))
	for _, field := range slices.Sorted(maps.Keys(e.Fields)) {
		parts = append(parts, field+" "+e.Fields[field])
	}
	return strings.Join(parts, "; ")
}

// Validate checks an event against the rules of the DataStorage API, so that
// a mistake comes back to its author and not from the quarantine. What Record
// fills in may be missing. The error is a *ValidationError.
func (e *Event) Validate() error {
	var v validator
	v.id("event_id", e.ID)
	v.text("version", e.Version, 0, 20)
	v.text("event_type", e.Type, 1, 100)
	if e.Type != "" && !dotted(e.Type) {
		v.fail("event_type", "must be dotted lower case, as in gateway.signal.received")
	}
	v.timestamp("event_timestamp", e.Timestamp)
	v.text("event_category", e.Category, 1, 50)
	v.text("event_action", e.Action, 1, 50)
	switch e.Outcome {
	case OutcomeSuccess, OutcomeFailure, OutcomePending:
	default:
		v.fail("event_outcome", "must be success, failure or pending")
	}
	v.text("correlation_id", e.CorrelationID, 1, 255)
	v.data("event_data", e.Data, e.Type)
	v.text("actor_type", e.ActorType, 0, 50)
	v.text("actor_id", e.ActorID, 0, 255)
	if e.ActorIP != "" {
		if address, err := netip.ParseAddr(e.ActorIP); err != nil || address.Zone() != "" {
			v.fail("actor_ip", "must be an IPv4 or IPv6 address, without a zone")
		}
	}
	v.text("resource_type", e.ResourceType, 0, 100)
	v.text("resource_id", e.ResourceID, 0, 255)
	v.text("namespace", e.Namespace, 0, 253)
	v.text("cluster_id", e.ClusterID, 0, 255)
	v.text("severity", e.Severity, 0, 50)
	if e.Duration != nil && (*e.Duration < 0 || *e.Duration > maxDuration) {
		v.fail("duration_ms", fmt.Sprintf("must be from 0 to %v", maxDuration))
	}
	v.text("error_code", e.ErrorCode, 0, 100)
	v.text("error_message", e.ErrorMessage, 0, 4096)
	if e.RetentionDays < 0 || e.RetentionDays > maxRetentionDays {
		v.fail("retention_days", fmt.Sprintf("must be 1 to %d, or 0 for the default", maxRetentionDays))
	}
	if v.fields != nil {
		return &ValidationError{Fields: v.fields}
	}
	return nil
}

// validator collects the first complaint about each field.
type validator struct {
	fields map[string]string
}

func (v *validator) fail(field, reason string) {
	if v.fields == nil {
		v.fields = make(map[string]string)
	}
	if _, ok := v.fields[field]; !ok {
		v.fields[field] = reason
	}
}

// text checks the length in characters, and that PostgreSQL can hold the text.
func (v *validator) text(field, value string, least, most int) {
	if value == "" && least == 0 {
		return
	}
	if value == "" || len(value) > most || !isPlain(value) {
		v.unusual(field, value, most)
	}
}

// unusual checks a text that is not short ASCII.
func (v *validator) unusual(field, value string, most int) {
	switch {
	case value == "":
		v.fail(field, "is required")
	case !utf8.ValidString(value):
		v.fail(field, "must be valid UTF-8")
	case strings.IndexByte(value, 0) >= 0:
		v.fail(field, "must not contain a NUL character")
	case utf8.RuneCountInString(value) > most:
		v.fail(field, fmt.Sprintf("must not be longer than %d characters", most))
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

func (v *validator) id(field string, id uuid.UUID) {
	if id == uuid.Nil {
		return
	}
	if version := id.Version(); id.Variant() != uuid.RFC4122 || (version != 7 && version != 8) {
		v.fail(field, "must be a UUIDv7 or a derived UUIDv8")
	}
}

// timestamp refuses what RFC 3339 cannot write.
func (v *validator) timestamp(field string, t time.Time) {
	if t.IsZero() {
		return
	}
	if year := t.UTC().Year(); year < 1970 || year > 9999 {
		v.fail(field, "must lie between the years 1970 and 9999")
	}
}

// data holds the data to what DataStorage takes. An event_type in it, as older
// writers repeat it, must be the event's own.
func (v *validator) data(field string, data json.RawMessage, eventType string) {
	if len(data) == 0 {
		v.fail(field, "is required")
		return
	}
	inner, err := wire.Check(data, "event_type")
	switch {
	case err != nil:
		v.fail(field, err.Error())
	case inner != nil && !inner.Is(eventType):
		v.fail(field, "must not hold an event_type that contradicts the event's own")
	}
}

// dotted accepts two or more segments of [a-z0-9_-] with a dot between them.
func dotted(eventType string) bool {
	segment, dots := 0, 0
	for i := range len(eventType) {
		c := eventType[i]
		switch {
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
