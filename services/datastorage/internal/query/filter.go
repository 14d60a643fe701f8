// Package query finds events: filters, keyset pages in both orders, and answers
// that are at least as new as the client demands.
package query

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// Order of a page, by (schema.SortTime, event_id).
type Order string

// The orders of a page.
const (
	Descending Order = "desc"
	Ascending  Order = "asc"
)

// beyond is the comparison that holds for what comes later in the order.
func (o Order) beyond() string {
	if o == Ascending {
		return ">"
	}
	return "<"
}

// The bounds of a query.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
	MaxOffset    = 100_000
	// MaxTotal is how far matches are counted.
	MaxTotal  = 10_000
	maxTokens = 64
	// mostID bounds the characters of ids.
	mostID = 255
)

// Columns that are also parameters, and that more than filters use.
const (
	columnOutcome   = "event_outcome"
	columnActorType = "actor_type"
	columnSeverity  = "severity"
	columnNamespace = "namespace"
)

// The parameters of a span.
const (
	paramSince = "since"
	paramUntil = "until"
)

// Params are the parameters of a query as the client gave them, "" for missing ones.
type Params struct {
	EventType, EventCategory, EventAction, EventOutcome string
	Severity, CorrelationID, ActorType, ActorID         string
	RecordedBy, ProducerID, ErrorCode                   string
	ParentEventID                                       *uuid.UUID
	ResourceType, ResourceID, Namespace, ClusterID      string
	Since, Until                                        string
	DetailKey, DetailValue                              *string
	Order, Cursor                                       string
	Limit, Offset                                       *int
	AtLeast                                             []string
}

// ParamError says what is wrong with parameters, by their names.
type ParamError struct{ Fields map[string]string }

func (e *ParamError) Error() string {
	return fmt.Sprintf("%d parameters are not usable", len(e.Fields))
}

func (e *ParamError) refusef(name, format string, args ...any) {
	if e.Fields == nil {
		e.Fields = map[string]string{}
	}
	if _, refused := e.Fields[name]; !refused {
		e.Fields[name] = fmt.Sprintf(format, args...)
	}
}

// equality is a filter that wants a column to have one value.
type equality struct {
	column string
	value  string
	most   int
}

func (p Params) equalities() []equality {
	const short, kind, namespace, recorder = 50, 100, 253, 1024
	return []equality{
		{"event_category", p.EventCategory, short},
		{"event_action", p.EventAction, short},
		{columnOutcome, p.EventOutcome, short},
		{columnSeverity, p.Severity, short},
		{columnActorType, p.ActorType, short},
		{"actor_id", p.ActorID, mostID},
		{"recorded_by", p.RecordedBy, recorder},
		{"producer_id", p.ProducerID, mostID},
		{"error_code", p.ErrorCode, kind},
		{"resource_type", p.ResourceType, kind},
		{"resource_id", p.ResourceID, mostID},
		{columnNamespace, p.Namespace, namespace},
		{"cluster_id", p.ClusterID, mostID},
	}
}

// conditions collects the parts of a WHERE clause and their arguments.
type conditions struct {
	clauses []string
	args    []any
	// served: the indexes of complete partitions serve one of the clauses.
	served bool
}

// add appends a clause; each %s in it stands for the placeholder of one value.
func (c *conditions) add(clause string, values ...any) {
	placeholders := make([]any, len(values))
	for i, value := range values {
		c.args = append(c.args, value)
		placeholders[i] = fmt.Sprintf("$%d", len(c.args))
	}
	c.clauses = append(c.clauses, fmt.Sprintf(clause, placeholders...))
}

func (c *conditions) where() string {
	if len(c.clauses) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.clauses, " AND ")
}

// filter makes conditions of the parameters that no index serves, except for detail_key.
func (p Params) filter(bad *ParamError) *conditions {
	c := &conditions{}
	for _, e := range p.equalities() {
		if e.value == "" {
			continue
		}
		checkText(bad, e.column, e.value, e.most)
		c.add(e.column+" = %s", e.value)
		// Three outcomes and a handful of kinds of actors are everywhere.
		c.served = c.served || e.column != columnOutcome && e.column != columnActorType
	}
	if p.EventOutcome != "" && !wire.EventOutcome(p.EventOutcome).Valid() {
		bad.refusef(columnOutcome, "must be success, failure or pending")
	}
	if p.ParentEventID != nil {
		c.add("parent_event_id = %s", *p.ParentEventID)
		c.served = true
	}
	p.eventType(c, bad)
	return c
}

func (p Params) eventType(c *conditions, bad *ParamError) {
	if p.EventType == "" {
		return
	}
	const name, most = "event_type", 100
	checkText(bad, name, p.EventType, most)
	prefix, isPrefix := strings.CutSuffix(p.EventType, "*")
	switch {
	case strings.Contains(prefix, "*"):
		bad.refusef(name, "may hold * at its end only, as in gateway.*")
	case isPrefix:
		c.add("starts_with(event_type, %s)", prefix)
	default:
		c.add("event_type = %s", p.EventType)
		c.served = true
	}
}

// checkType refuses a type that no event can have: an empty answer would say that there
// are no such events.
func (p Params) checkType(bad *ParamError) {
	text := p.EventType
	if prefix, isPrefix := strings.CutSuffix(text, "*"); isPrefix {
		text = prefix + "x.x"
	}
	if text != "" && !wire.IsType(text) {
		bad.refusef("event_type", "must be a type that an event can have: all of it, as in gateway.signal.received, or its beginning, as in gateway.*")
	}
}

// checkWhole refuses values that look like the beginning of one, which they are not.
func (p Params) checkWhole(bad *ParamError) {
	for _, e := range append(p.equalities(), equality{column: "correlation_id", value: p.CorrelationID}) {
		if strings.HasSuffix(e.value, "*") {
			bad.refusef(e.column, "must be the whole value, which %q seems not to be: only event_type takes the beginning of one, as in gateway.*", e.value)
		}
	}
}

func checkText(bad *ParamError, name, text string, most int) {
	switch {
	case !utf8.ValidString(text):
		bad.refusef(name, "must be UTF-8")
	case strings.ContainsRune(text, 0):
		bad.refusef(name, "holds a NUL character")
	case utf8.RuneCountInString(text) > most:
		bad.refusef(name, "must be at most %d characters", most)
	}
}

// number returns a numeric parameter within its bounds.
func number(bad *ParamError, name string, value *int, otherwise, least, most int) int {
	if value == nil {
		return otherwise
	}
	if *value < least || *value > most {
		bad.refusef(name, "must be from %d to %d", least, most)
	}
	return *value
}

func (p Params) order(bad *ParamError) Order {
	switch o := Order(p.Order); o {
	case "":
		return Descending
	case Ascending, Descending:
		return o
	default:
		bad.refusef("order", "must be asc or desc")
		return Descending
	}
}

// span is the resolved part of time that a query looks at; nil is open.
type span struct{ since, until *time.Time }

func (s span) add(c *conditions) {
	if s.since != nil {
		c.add(schema.SortTime+" >= %s", *s.since)
	}
	if s.until != nil {
		c.add(schema.SortTime+" < %s", *s.until)
	}
}

func (p Params) span(bad *ParamError, now time.Time) span {
	var s span
	for _, bound := range []struct {
		name, text string
		time       **time.Time
	}{{paramSince, p.Since, &s.since}, {paramUntil, p.Until, &s.until}} {
		if bound.text == "" {
			continue
		}
		t, err := parseTime(bound.text, now)
		if err != nil {
			bad.refusef(bound.name, "%v", err)
			continue
		}
		*bound.time = &t
	}
	if s.since != nil && s.until != nil && !s.since.Before(*s.until) {
		bad.refusef(paramUntil, "must be later than since: this is %s, and since is %s",
			s.until.Format(time.RFC3339Nano), s.since.Format(time.RFC3339Nano))
	}
	return s
}
