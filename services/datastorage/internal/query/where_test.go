package query //nolint:testpackage // beside the tests of the other conditions

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAFilterIsAConditionBehindOtherValues(t *testing.T) {
	t.Parallel()
	f, err := Filter{"actor_id": "'; DROP TABLE audit_events; --$1", "since": "7d", "event_type": "shop.*"}.Resolve(now)
	if err != nil {
		t.Fatal(err)
	}
	if want := now.AddDate(0, 0, -7).Format(time.RFC3339Nano); f["since"] != want {
		t.Errorf("since is %s, want %s: a filter means the same later", f["since"], want)
	}
	condition, args, err := f.Where([]any{"first", "second"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(condition, "DROP") || strings.Contains(condition, "$1 ") || strings.Contains(condition, "$2 ") {
		t.Errorf("the condition holds a value, or takes that of another: %s", condition)
	}
	for _, placeholder := range []string{"$3", "$4", "$5"} {
		if !strings.Contains(condition, placeholder) {
			t.Errorf("no %s in %s", placeholder, condition)
		}
	}
	if len(args) != 5 || args[0] != "first" {
		t.Errorf("values %v", args)
	}
}

func TestUnusableFiltersAreNamed(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Filter{
		"filter": {}, "limit": {"limit": "5"}, "event_outcome": {"event_outcome": "maybe"}, "severity": {"severity": ""},
		"detail_value": {"detail_key": "a"}, "parent_event_id": {"parent_event_id": "x"}, "until": {"since": "1m", "until": "5m"},
	} {
		_, err := f.Resolve(now)
		var bad *ParamError
		if !errors.As(err, &bad) || len(bad.Fields) != 1 || bad.Fields[name] == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAConditionHasNoTimesThatDependOnNow(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"since": "24h", "until": "0d"} {
		_, _, err := Filter{"actor_id": "alice", name: text}.Where(nil)
		if bad, ok := errors.AsType[*ParamError](err); !ok || len(bad.Fields) != 1 || bad.Fields[name] == "" {
			t.Errorf("%s=%s: got %v", name, text, err)
		}
	}
}

func TestAFilterThatCanMatchNothingIsRefused(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"event_type": "gateway", "namespace": "shop-*", "correlation_id": "rr-*", "severity": "*", "actor_id": "system:*",
	} {
		_, err := Filter{name: value}.Resolve(now)
		var bad *ParamError
		if !errors.As(err, &bad) || len(bad.Fields) != 1 || !strings.Contains(bad.Fields[name], "gateway.*") {
			t.Errorf("%s=%s: got %v", name, value, err)
		}
		// A hold that is in force with it must not stop retention.
		if _, _, err := (Filter{name: value}).Where(nil); err != nil {
			t.Errorf("%s=%s: no condition: %v", name, value, err)
		}
	}
}

func TestATypeThatNoEventCanHaveIsRefused(t *testing.T) {
	t.Parallel()
	for text, usable := range map[string]bool{
		"gateway.signal.received": true, "gateway.*": true, "gate*": true, "*": true, "my-app.x_1*": true,
		"gateway": false, "Gateway.signal.received": false, "gateway.": false, "gateway..*": false, ".*": false, "Gate*": false, "a b.c": false,
	} {
		_, err := Params{EventType: text}.prepare(now)
		_, counted := StatsParams{EventType: text}.prepare(now)
		var bad *ParamError
		if usable != (err == nil) || usable != (counted == nil) || !usable && (!errors.As(err, &bad) || bad.Fields["event_type"] == "") {
			t.Errorf("%s: got %v, and %v for counts", text, err, counted)
		}
	}
}

func TestEachFilterBecomesACondition(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"event_type", "event_category", "event_action", "severity", "correlation_id", "actor_type", "actor_id", "recorded_by", "producer_id",
		"error_code", "resource_type", "resource_id", "namespace", "cluster_id",
	} {
		condition, args, err := Filter{name: "v"}.Where(nil)
		if err != nil || condition != "("+name+" = $1)" || len(args) != 1 {
			t.Errorf("%s: %s, %v: %v", name, condition, args, err)
		}
	}
}

func TestBucketsAreWholeMinutesUpToAWeek(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": time.Hour, "5m": 5 * time.Minute, "24h": 24 * time.Hour, "1d": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "168h": 7 * 24 * time.Hour,
		"8d": 0, "0d": 0, "d": 0, "-1d": 0, "1.5d": 0, "99999999999999999999d": 0, "90s": 0, "0s": 0, "x": 0,
	} {
		c, err := StatsParams{Bucket: text}.prepare(now)
		var bad *ParamError
		switch {
		case want == 0 && (!errors.As(err, &bad) || bad.Fields["bucket"] == ""):
			t.Errorf("%q: got %v", text, err)
		case want > 0 && (err != nil || c.bucket != want):
			t.Errorf("%q: got %+v, %v", text, c, err)
		}
	}
}

func TestOneMistakeInASpanOfCountsIsOneComplaint(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]StatsParams{
		"until": {Since: "1h", Until: "2h"}, "since": {Since: now.AddDate(1, 0, 0).Format(time.RFC3339)},
	} {
		_, err := p.prepare(now)
		var bad *ParamError
		if !errors.As(err, &bad) || len(bad.Fields) != 1 || bad.Fields[name] == "" {
			t.Errorf("%+v: got %+v", p, bad)
		}
	}
}
