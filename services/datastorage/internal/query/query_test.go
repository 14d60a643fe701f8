package query //nolint:testpackage // what a query becomes is seen from inside only

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestParseTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-02T03:04:05.5+01:00": "2026-01-02T02:04:05.5Z",
		"2026-01-02":                  "2026-01-02T00:00:00Z",
		"24h":                         "2026-01-30T12:00:00Z",
		"1h30m":                       "2026-01-31T10:30:00Z",
		"7d":                          "2026-01-24T12:00:00Z",
		"0d":                          "2026-01-31T12:00:00Z",
		"2026-01-02T03:04:05 01:00":   "2026-01-02T02:04:05Z", // a + that was not escaped
	} {
		got, err := parseTime(text, now)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "now", "-1h", "1.5d", "d", "-1d", "100001d", "2026-13-01", "24", "99999999999999999999d"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestJSONPath(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"name":                          `$."name"`,
		"dotted.name":                   `$."dotted.name"`,
		`with "quotes" and \`:           `$."with \"quotes\" and \\"`,
		"$.target.kind":                 `$."target"."kind"`,
		`$.labels["app.kubernetes.io"]`: `$."labels"."app.kubernetes.io"`,
		`$['a']['b c']`:                 `$."a"."b c"`,
		"$.targets[0].name":             `$."targets"[0]."name"`,
		"$[*].x[*]":                     `$[*]."x"[*]`,
	} {
		if got, err := jsonPath(key); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", key, got, err, want)
		}
	}
	for _, key := range []string{
		"", "$", "$.", "$..a", "$.a.", "$a", "$.a[", "$.a[]", "$.a[-1]", "$.a[1 to 2]", "$.a[99999999999]", `$["a"`, "$.*",
		"$.a ? (@ == 1)", "$.a.type()", `$.a"b`, "$.a b[0]c", strings.Repeat("$.a", 1) + strings.Repeat(".a", 16),
	} {
		if got, err := jsonPath(key); err == nil {
			t.Errorf("%q: got %s, want an error", key, got)
		}
	}
}

func TestANameWithDotsIsAFieldOrNestedFields(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"name":        `$."name"`,
		"target.name": `$."target.name" $."target"."name"`,
		"a[0].b":      `$."a[0].b" $."a"[0]."b"`,
		"a..b":        `$."a..b"`,
		"$.a.b":       `$."a"."b"`,
	} {
		if got, err := jsonPaths(key); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %s, %v, want %s", key, got, err, want)
		}
	}
}

func TestUnusableParametersAreNamed(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Params{
		"limit":          {Limit: new(0)},
		"offset":         {Offset: new(100_001)},
		"order":          {Order: "up"},
		"event_outcome":  {EventOutcome: "maybe"},
		"event_type":     {EventType: "*.created"},
		"severity":       {Severity: strings.Repeat("x", 51)},
		"until":          {Since: "1m", Until: "5m"},
		"actor_type":     {ActorType: strings.Repeat("x", 51)},
		"correlation_id": {CorrelationID: "a\x00"},
		"actor_id":       {ActorID: "\xff"},
		"since":          {Since: "yesterday"},
		"detail_key":     {DetailValue: new("v")},
		"detail_value":   {DetailKey: new("k")},
		"cursor":         {Cursor: "abc"},
		"at_least":       {AtLeast: []string{"abc"}},
	} {
		_, err := p.prepare(now)
		var bad *ParamError
		if !errors.As(err, &bad) || len(bad.Fields) != 1 || bad.Fields[name] == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestValuesNeverGetIntoTheStatement(t *testing.T) {
	t.Parallel()
	evil := "'; DROP TABLE audit_events; --%s$1"
	f, err := Params{
		EventType: "a.*", EventCategory: evil, EventAction: evil, Severity: evil, CorrelationID: evil, ActorID: evil,
		ResourceType: evil, ResourceID: evil, Namespace: evil, ClusterID: evil, DetailKey: new(evil), DetailValue: new(evil),
	}.prepare(now)
	if err != nil {
		t.Fatal(err)
	}
	c := f.indexed(f.filter.args)
	sql := f.inOrder(c) + f.filter.all()
	if strings.Contains(sql, "DROP") {
		t.Errorf("the statement holds a value: %s", sql)
	}
	if len(c.args) != 13 { // the path of detail_key twice, and its value
		t.Errorf("%d arguments: %v", len(c.args), c.args)
	}
}

func TestCursorContinuesItsOwnQueryOnly(t *testing.T) {
	t.Parallel()
	asked := Params{CorrelationID: "rr-1", Since: "24h", Limit: new(10)}
	first, err := asked.prepare(now)
	if err != nil {
		t.Fatal(err)
	}
	place := cursor{at: now.Add(-time.Microsecond), id: uuid.New(), span: first.span}
	text, err := first.cursorText(place)
	if err != nil {
		t.Fatal(err)
	}

	asked.Cursor, asked.Limit, asked.Order = text, new(20), "desc"
	later := now.Add(time.Hour)
	next, err := asked.prepare(later)
	if err != nil {
		t.Fatal(err)
	}
	if !next.cursor.at.Equal(place.at) || next.cursor.id != place.id {
		t.Errorf("got %v", next.cursor)
	}
	if !next.span.since.Equal(*first.span.since) || next.span.until != nil {
		t.Errorf("the span moved: %v", next.span)
	}

	for name, change := range map[string]func(*Params){
		"filter": func(p *Params) { p.CorrelationID = "rr-2" },
		"order":  func(p *Params) { p.Order = "asc" },
		"since":  func(p *Params) { p.Since = "25h" },
		"detail": func(p *Params) { p.DetailKey, p.DetailValue = new("k"), new("v") },
		"offset": func(p *Params) { p.Offset = new(1) },
		"broken": func(p *Params) { p.Cursor = text[:len(text)-1] },
		"longer": func(p *Params) { p.Cursor += "AAAA" },
	} {
		p := asked
		change(&p)
		if _, err := p.prepare(now); err == nil {
			t.Errorf("%s: taken, want a refusal", name)
		}
	}
}

func TestTheQuickPartOfADetailHoldsForEachValueWithTheText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"wanted": `@ == "wanted"`, `a"b`: `@ == "a\"b"`, "true": `@ == "true" || @ == true`, "1.50": `@ == "1.50" || @ == 1.50`,
		"007": "", "-1": "", "12345678901234567890123456789012": "", "": `@ == ""`, "null": `@ == "null"`,
	} {
		if got, ok := equals(text); got != want || ok != (want != "") {
			t.Errorf("%q: got %s, %t, want %s", text, got, ok, want)
		}
	}
}

func TestIndexedEventsAreOnThePageOnlyAsFarAsTheWalkCame(t *testing.T) {
	t.Parallel()
	at := func(minutes int, id byte) key {
		return key{now.Add(time.Duration(minutes) * time.Minute), uuid.UUID{id}}
	}
	old := []key{at(1, 1), at(2, 1), at(2, 9), at(3, 1)}
	for name, one := range map[string]struct {
		order Order
		next  *cursor
		want  []key
	}{
		"to the end":            {Ascending, nil, []key{at(1, 1), at(2, 1), at(2, 5), at(2, 9), at(3, 1)}},
		"to an event":           {Ascending, &cursor{at: at(2, 5).at, id: at(2, 5).id}, []key{at(1, 1), at(2, 1), at(2, 5)}},
		"to an event, back":     {Descending, &cursor{at: at(2, 5).at, id: at(2, 5).id}, []key{at(3, 1), at(2, 9), at(2, 5)}},
		"to the time of others": {Ascending, &cursor{at: at(3, 0).at, all: true}, []key{at(1, 1), at(2, 1), at(2, 5), at(2, 9)}},
	} {
		f := &find{order: one.order}
		got := f.merge(stretch{keys: []key{at(2, 5)}, next: one.next}, slices.Clone(old))
		if !slices.Equal(got.keys, one.want) {
			t.Errorf("%s: got %v, want %v", name, got.keys, one.want)
		}
	}
}
