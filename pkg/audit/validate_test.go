package audit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("é", n) }
	negative, longest, endless := -time.Millisecond, 1e12*time.Millisecond, 1e12*time.Millisecond+time.Microsecond

	valid := map[string]func(*audit.Event){
		"least":                 func(*audit.Event) {},
		"longest":               func(e *audit.Event) { e.Category, e.CorrelationID, e.ErrorMessage = long(50), long(255), long(4096) },
		"longest type":          func(e *audit.Event) { e.Type = "a." + strings.Repeat("b", 98) },
		"digits, dash, line":    func(e *audit.Event) { e.Type = "svc-2.sub_ject.done" },
		"IPv6":                  func(e *audit.Event) { e.ActorIP = "2001:db8::1" },
		"data in white space":   func(e *audit.Event) { e.Data = []byte(" {} \n") },
		"an escaped backslash":  func(e *audit.Event) { e.Data = []byte(`{"a":"\\u0000"}`) },
		"largest data":          func(e *audit.Event) { e.Data = []byte(`{"a":"` + strings.Repeat("x", audit.MaxDataBytes-8) + `"}`) },
		"its own event type":    func(e *audit.Event) { e.Data = []byte(`{"event_type":"test.validate.event"}`) },
		"an event type inside":  func(e *audit.Event) { e.Data = []byte(`{"cause":{"event_type":"other.event.type"}}`) },
		"UUIDv7":                func(e *audit.Event) { e.ID = uuid.Must(uuid.NewV7()) },
		"any parent":            func(e *audit.Event) { e.ParentID = uuid.New() },
		"a hundred years":       func(e *audit.Event) { e.RetentionDays = 36500 },
		"duration of zero":      func(e *audit.Event) { e.Duration = new(time.Duration) },
		"longest duration":      func(e *audit.Event) { e.Duration = &longest },
		"outcome failure":       func(e *audit.Event) { e.Outcome = audit.OutcomeFailure },
		"its own version":       func(e *audit.Event) { e.Version = "2.0" },
		"its own time":          func(e *audit.Event) { e.Timestamp = time.Now() },
		"producer is not input": func(e *audit.Event) { e.Producer.ID = "x" },
	}
	for name, change := range valid {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := audittest.NewEvent("test.validate.event", "a")
			change(e)
			if err := e.Validate(); err != nil {
				t.Errorf("validate: %v", err)
			}
		})
	}

	invalid := map[string]struct {
		field  string
		change func(*audit.Event)
	}{
		"no type":                   {"event_type", func(e *audit.Event) { e.Type = "" }},
		"type of one segment":       {"event_type", func(e *audit.Event) { e.Type = "test" }},
		"type that ends early":      {"event_type", func(e *audit.Event) { e.Type = "test." }},
		"type that starts late":     {"event_type", func(e *audit.Event) { e.Type = ".test" }},
		"type with a gap":           {"event_type", func(e *audit.Event) { e.Type = "test..a" }},
		"type in capitals":          {"event_type", func(e *audit.Event) { e.Type = "Test.a" }},
		"type too long":             {"event_type", func(e *audit.Event) { e.Type = "a." + strings.Repeat("b", 99) }},
		"UUIDv4":                    {"event_id", func(e *audit.Event) { e.ID = uuid.New() }},
		"version too long":          {"version", func(e *audit.Event) { e.Version = long(21) }},
		"timestamp of old":          {"event_timestamp", func(e *audit.Event) { e.Timestamp = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC) }},
		"timestamp far off":         {"event_timestamp", func(e *audit.Event) { e.Timestamp = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		"no category":               {"event_category", func(e *audit.Event) { e.Category = "" }},
		"category too long":         {"event_category", func(e *audit.Event) { e.Category = long(51) }},
		"no action":                 {"event_action", func(e *audit.Event) { e.Action = "" }},
		"no outcome":                {"event_outcome", func(e *audit.Event) { e.Outcome = "" }},
		"unknown outcome":           {"event_outcome", func(e *audit.Event) { e.Outcome = "ok" }},
		"no correlation id":         {"correlation_id", func(e *audit.Event) { e.CorrelationID = "" }},
		"correlation id with a NUL": {"correlation_id", func(e *audit.Event) { e.CorrelationID = "a\x00" }},
		"correlation id not UTF-8":  {"correlation_id", func(e *audit.Event) { e.CorrelationID = "a\xff" }},
		"no data":                   {"event_data", func(e *audit.Event) { e.Data = nil }},
		"data of white space":       {"event_data", func(e *audit.Event) { e.Data = []byte("  ") }},
		"data is a list":            {"event_data", func(e *audit.Event) { e.Data = []byte("[]") }},
		"data is null":              {"event_data", func(e *audit.Event) { e.Data = []byte("null") }},
		"data is cut off":           {"event_data", func(e *audit.Event) { e.Data = []byte(`{"a":`) }},
		"data is two":               {"event_data", func(e *audit.Event) { e.Data = []byte(`{}{}`) }},
		"data too large":            {"event_data", func(e *audit.Event) { e.Data = []byte(`{"a":"` + strings.Repeat("x", audit.MaxDataBytes) + `"}`) }},
		"data not UTF-8":            {"event_data", func(e *audit.Event) { e.Data = []byte("{\"a\":\"\xff\"}") }},
		"data with a NUL":           {"event_data", func(e *audit.Event) { e.Data = []byte(`{"a":"\\\u0000"}`) }},
		"data with half a pair":     {"event_data", func(e *audit.Event) { e.Data = []byte(`{"a":"\ud800"}`) }},
		"data with a name twice":    {"event_data", func(e *audit.Event) { e.Data = []byte(`{"a":{"b":1,"b":2}}`) }},
		"data with a large number":  {"event_data", func(e *audit.Event) { e.Data = []byte(`{"a":1e400}`) }},
		"data too deep": {"event_data", func(e *audit.Event) {
			e.Data = []byte(`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`)
		}},
		"data too large if spelled": {"event_data", func(e *audit.Event) { e.Data = []byte(`{"a":"` + strings.Repeat(`\n`, 200_000) + `"}`) }},
		"data of another type":      {"event_data", func(e *audit.Event) { e.Data = []byte(`{"event_type":"other.event.type"}`) }},
		"actor type too long":       {"actor_type", func(e *audit.Event) { e.ActorType = long(51) }},
		"actor id too long":         {"actor_id", func(e *audit.Event) { e.ActorID = long(256) }},
		"actor IP is a name":        {"actor_ip", func(e *audit.Event) { e.ActorIP = "localhost" }},
		"actor IP with a zone":      {"actor_ip", func(e *audit.Event) { e.ActorIP = "fe80::1%eth0" }},
		"resource type":             {"resource_type", func(e *audit.Event) { e.ResourceType = long(101) }},
		"resource id":               {"resource_id", func(e *audit.Event) { e.ResourceID = long(256) }},
		"namespace":                 {"namespace", func(e *audit.Event) { e.Namespace = long(254) }},
		"cluster id":                {"cluster_id", func(e *audit.Event) { e.ClusterID = long(256) }},
		"severity":                  {"severity", func(e *audit.Event) { e.Severity = long(51) }},
		"negative duration":         {"duration_ms", func(e *audit.Event) { e.Duration = &negative }},
		"duration too long":         {"duration_ms", func(e *audit.Event) { e.Duration = &endless }},
		"error code":                {"error_code", func(e *audit.Event) { e.ErrorCode = long(101) }},
		"error message":             {"error_message", func(e *audit.Event) { e.ErrorMessage = long(4097) }},
		"retention":                 {"retention_days", func(e *audit.Event) { e.RetentionDays = 36501 }},
	}
	for name, test := range invalid {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := audittest.NewEvent("test.validate.event", "a")
			test.change(e)
			var err *audit.ValidationError
			if !errors.As(e.Validate(), &err) || len(err.Fields) != 1 || err.Fields[test.field] == "" {
				t.Errorf("validate: %v, want a complaint about %s alone", e.Validate(), test.field)
			}
		})
	}

	t.Run("every field is named", func(t *testing.T) {
		t.Parallel()
		err := (&audit.Event{}).Validate()
		const want = "invalid audit event: correlation_id is required; event_action is required; event_category is required; " +
			"event_data is required; event_outcome must be success, failure or pending; event_type is required"
		if err == nil || err.Error() != want {
			t.Errorf("validate: %v, want %s", err, want)
		}
	})
}
