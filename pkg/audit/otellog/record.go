package otellog

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"kubernaut.ai/pkg/audit"
)

// The attributes for which OpenTelemetry has no convention.
const (
	KeyCategory         = attribute.Key("audit.category")
	KeyAction           = attribute.Key("audit.action")
	KeyOutcome          = attribute.Key("audit.outcome")
	KeyCorrelationID    = attribute.Key("audit.correlation_id")
	KeyParentID         = attribute.Key("audit.parent_id")
	KeyActorType        = attribute.Key("audit.actor.type")
	KeyActorID          = attribute.Key("audit.actor.id")
	KeyResourceType     = attribute.Key("audit.resource.type")
	KeyResourceID       = attribute.Key("audit.resource.id")
	KeyDuration         = attribute.Key("audit.duration_ms")
	KeySensitive        = attribute.Key("audit.sensitive")
	KeyErrorMessage     = attribute.Key("audit.error_message")
	KeyProducerID       = attribute.Key("audit.producer.id")
	KeyProducerEpoch    = attribute.Key("audit.producer.epoch")
	KeyProducerSequence = attribute.Key("audit.producer.sequence")
)

// record is the log record of an event. It shares nothing with the event, which
// belongs to the store.
func record(e *audit.Event) log.Record {
	var r log.Record
	r.SetTimestamp(e.Timestamp)
	r.SetEventName(e.Type)
	r.SetSeverity(severity(e))
	r.SetSeverityText(e.Severity)
	if !e.Sensitive {
		r.SetBody(body(e.Data))
	}
	r.AddAttributes(attributes(e)...)
	return r
}

func attributes(e *audit.Event) []attribute.KeyValue {
	all := []attribute.KeyValue{
		semconv.LogRecordUID(e.ID.String()),
		KeyCategory.String(e.Category),
		KeyAction.String(e.Action),
		KeyOutcome.String(string(e.Outcome)),
		KeyCorrelationID.String(e.CorrelationID),
		KeyProducerID.String(e.Producer.ID),
		KeyProducerEpoch.Int64(e.Producer.Epoch),
		KeyProducerSequence.Int64(int64(e.Producer.Sequence)), //nolint:gosec // counts the events of one process
	}
	for _, optional := range []struct {
		key   attribute.Key
		value string
	}{
		{semconv.ClientAddressKey, e.ActorIP},
		{semconv.K8SNamespaceNameKey, e.Namespace},
		{semconv.K8SClusterNameKey, e.ClusterID},
		{semconv.ErrorTypeKey, e.ErrorCode},
		{KeyErrorMessage, e.ErrorMessage},
		{KeyActorType, e.ActorType},
		{KeyActorID, e.ActorID},
		{KeyResourceType, e.ResourceType},
		{KeyResourceID, e.ResourceID},
	} {
		if optional.value != "" {
			all = append(all, optional.key.String(optional.value))
		}
	}
	if e.ParentID != uuid.Nil {
		all = append(all, KeyParentID.String(e.ParentID.String()))
	}
	if e.Duration != nil {
		all = append(all, KeyDuration.Float64(float64(*e.Duration)/float64(time.Millisecond)))
	}
	if e.Sensitive {
		all = append(all, KeySensitive.Bool(true))
	}
	return all
}

// severities are the numbers of the words that recorders use, after OpenTelemetry's
// mapping of syslog (logs data model, appendix B).
var severities = map[string]log.Severity{
	"emergency": log.SeverityFatal, "fatal": log.SeverityFatal,
	"alert": log.SeverityError3, "critical": log.SeverityError2, "error": log.SeverityError,
	"warning": log.SeverityWarn, "warn": log.SeverityWarn,
	"notice": log.SeverityInfo2, "info": log.SeverityInfo, "informational": log.SeverityInfo,
	"debug": log.SeverityDebug,
}

// severity follows the event's severity; without a known one, its outcome.
func severity(e *audit.Event) log.Severity {
	if known, ok := severities[strings.ToLower(e.Severity)]; ok {
		return known
	}
	if e.Outcome == audit.OutcomeFailure {
		return log.SeverityError
	}
	return log.SeverityInfo
}

// body turns an event's data, a JSON object, into a structured body. Data that is
// not JSON, which no store accepts, is a text.
func body(data json.RawMessage) attribute.Value {
	var object any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		return attribute.StringValue(string(data))
	}
	return value(object)
}

func value(of any) attribute.Value {
	switch v := of.(type) {
	case map[string]any:
		pairs := make([]attribute.KeyValue, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, attribute.KeyValue{Key: attribute.Key(key), Value: value(v[key])})
		}
		return attribute.MapValue(pairs...)
	case []any:
		items := make([]attribute.Value, 0, len(v))
		for _, item := range v {
			items = append(items, value(item))
		}
		return attribute.SliceValue(items...)
	case string:
		return attribute.StringValue(v)
	case bool:
		return attribute.BoolValue(v)
	case json.Number:
		return number(v)
	}
	return attribute.Value{} // null
}

// number keeps whole numbers exact; one beyond 64 bits stays a text.
func number(n json.Number) attribute.Value {
	if whole, err := n.Int64(); err == nil {
		return attribute.Int64Value(whole)
	}
	if f, err := n.Float64(); err == nil && strings.ContainsAny(n.String(), ".eE") {
		return attribute.Float64Value(f)
	}
	return attribute.StringValue(n.String())
}
