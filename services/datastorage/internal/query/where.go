package query

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Filter is a part of the trail, by the names of the filters of listEvents. It
// speaks about stored events and about those to come.
type Filter map[string]string

// Resolve returns the filter with since and until as times, which are relative to
// now, and checks it. What is wrong with it is a *ParamError, also a value that no
// event can be expected to have: a hold with it would hold nothing.
func (f Filter) Resolve(now time.Time) (Filter, error) {
	p, bad := f.params()
	span := p.span(bad, now)
	p.withDetail(p.filter(bad), bad)
	checkText(bad, "correlation_id", p.CorrelationID, mostID)
	p.checkType(bad)
	p.checkWhole(bad)
	if len(f) == 0 {
		bad.refusef("filter", "is required: name what it is about")
	}
	if len(bad.Fields) > 0 {
		return nil, bad
	}
	resolved := maps.Clone(f)
	if span.since != nil {
		resolved[paramSince] = span.since.Format(time.RFC3339Nano)
	}
	if span.until != nil {
		resolved[paramUntil] = span.until.Format(time.RFC3339Nano)
	}
	return resolved, nil
}

// Params are the parameters of a list with the filter. What is wrong with its names is a *ParamError.
func (f Filter) Params() (Params, error) {
	p, bad := f.params()
	if len(f) == 0 {
		bad.refusef("filter", "is required: name what it is about")
	}
	if len(bad.Fields) > 0 {
		return Params{}, bad
	}
	return p, nil
}

// Where returns a resolved filter as an SQL condition over audit_events, with
// placeholders behind those of args, and args with its own values. What is wrong with
// the filter is a *ParamError.
func (f Filter) Where(args []any) (condition string, all []any, err error) {
	p, bad := f.params()
	c, _ := p.withDetail(p.filter(bad), bad)
	if p.CorrelationID != "" {
		c.add("correlation_id = %s", p.CorrelationID)
	}
	p.span(bad, time.Time{}).add(c)
	for name, text := range map[string]string{paramSince: p.Since, paramUntil: p.Until} {
		if isRelative(text) {
			bad.refusef(name, "must be a time, not one that is counted from a request")
		}
	}
	if len(f) == 0 {
		bad.refusef("filter", "is required: name what it is about")
	}
	if len(bad.Fields) > 0 {
		return "", nil, bad
	}
	return "(" + shifted(strings.Join(c.clauses, " AND "), len(args)) + ")", append(slices.Clone(args), c.args...), nil
}

var placeholder = regexp.MustCompile(`\$[0-9]+`)

// shifted moves the placeholders of a condition. Values are never a part of its text.
func shifted(condition string, by int) string {
	return placeholder.ReplaceAllStringFunc(condition, func(text string) string {
		n, err := strconv.Atoi(text[1:])
		if err != nil {
			return text
		}
		return "$" + strconv.Itoa(n+by)
	})
}

// params are the parameters of a list with the filter.
func (f Filter) params() (Params, *ParamError) {
	var p Params
	bad := &ParamError{}
	texts := map[string]*string{
		"event_type": &p.EventType, "event_category": &p.EventCategory, "event_action": &p.EventAction, columnOutcome: &p.EventOutcome,
		columnSeverity: &p.Severity, "correlation_id": &p.CorrelationID, columnActorType: &p.ActorType, "actor_id": &p.ActorID,
		"recorded_by": &p.RecordedBy, "producer_id": &p.ProducerID, "error_code": &p.ErrorCode,
		"resource_type": &p.ResourceType, "resource_id": &p.ResourceID, columnNamespace: &p.Namespace, "cluster_id": &p.ClusterID,
		paramSince: &p.Since, paramUntil: &p.Until,
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		text := f[name]
		switch field, known := texts[name]; {
		case text == "" && name != detailValue:
			bad.refusef(name, "must not be empty: leave it out, or give a value")
		case known:
			*field = text
		case name == detailKey:
			p.DetailKey = &text
		case name == detailValue:
			p.DetailValue = &text
		case name == "parent_event_id":
			id, err := uuid.Parse(text)
			if err != nil {
				bad.refusef(name, "must be a UUID")
			}
			p.ParentEventID = &id
		default:
			bad.refusef(name, "is not a known filter")
		}
	}
	return p, bad
}
