package audit

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// MaxDataBytes is the size of the largest Event.Data, in bytes, both as it is
// and in the canonical form in which DataStorage stores it.
const MaxDataBytes = wire.MaxDataBytes

// MaxFootprint is the footprint of the largest valid event, rounded up. A sink whose limits are below it cannot be used.
const MaxFootprint = MaxDataBytes + 64<<10

// maxDuration is the longest Event.Duration.
const maxDuration = wire.MaxDurationMilliseconds * time.Millisecond

// ValidationError says which fields of an event are invalid.
type ValidationError struct {
	// Fields maps a field's name on the wire to what is wrong with it.
	Fields map[string]string
}

// Error names every field.
func (e *ValidationError) Error() string {
	return "invalid audit event: " + wire.FieldText(e.Fields, 0)
}

// Validate checks an event against the rules of the DataStorage API, so that a mistake is reported to its author and
// does not end up in the quarantine. What Record fills in may be missing. The error is a *ValidationError.
func (e *Event) Validate() error {
	var v validator
	v.id(e.ID)
	if e.Version != "" {
		v.text(&wire.FieldVersion, e.Version)
	}
	v.text(&wire.FieldType, e.Type)
	if e.Type != "" && !wire.IsType(e.Type) {
		v.fail(wire.FieldType.Name, wire.ReasonType)
	}
	v.timestamp(e.Timestamp)
	v.text(&wire.FieldCategory, e.Category)
	v.text(&wire.FieldAction, e.Action)
	if !wire.EventOutcome(e.Outcome).Valid() {
		v.fail(wire.FieldOutcome.Name, wire.ReasonOutcome)
	}
	v.text(&wire.FieldCorrelationID, e.CorrelationID)
	v.data(e.Data, e.Type)
	v.text(&wire.FieldActorType, e.ActorType)
	v.text(&wire.FieldActorID, e.ActorID)
	if e.ActorIP != "" {
		if _, ok := wire.ParseAddress(e.ActorIP); !ok {
			v.fail(wire.FieldActorIP.Name, wire.ReasonAddress)
		}
	}
	v.text(&wire.FieldResourceType, e.ResourceType)
	v.text(&wire.FieldResourceID, e.ResourceID)
	v.text(&wire.FieldNamespace, e.Namespace)
	v.text(&wire.FieldClusterID, e.ClusterID)
	v.text(&wire.FieldSeverity, e.Severity)
	if e.Duration != nil && (*e.Duration < 0 || *e.Duration > maxDuration) {
		v.fail(wire.FieldDuration, wire.ReasonDuration)
	}
	v.text(&wire.FieldErrorCode, e.ErrorCode)
	v.text(&wire.FieldErrorMessage, e.ErrorMessage)
	if e.RetentionDays < 0 || e.RetentionDays > wire.MaxRetentionDays {
		v.fail(wire.FieldRetention, wire.ReasonRetention)
	}
	if v.fields != nil {
		return &ValidationError{Fields: v.fields}
	}
	return nil
}

// validator collects the first reason for each field.
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

func (v *validator) text(field *wire.TextField, value string) {
	if reason := field.Check(value); reason != "" {
		v.fail(field.Name, reason)
	}
}

func (v *validator) id(id uuid.UUID) {
	if id == uuid.Nil {
		return
	}
	if version := id.Version(); id.Variant() != uuid.RFC4122 || (version != 7 && version != 8) {
		v.fail(wire.FieldID, "must be a UUIDv7 or a derived UUIDv8")
	}
}

// timestamp refuses what RFC 3339 cannot express.
func (v *validator) timestamp(t time.Time) {
	if t.IsZero() {
		return
	}
	if year := t.UTC().Year(); year < 1970 || year > 9999 {
		v.fail(wire.FieldTimestamp, "must be between the years 1970 and 9999")
	}
}

func (v *validator) data(data json.RawMessage, eventType string) {
	if len(data) == 0 {
		v.fail(wire.FieldData, wire.ReasonRequired)
		return
	}
	if err := wire.CheckData(data, eventType); err != nil {
		v.fail(wire.FieldData, err.Error())
	}
}
