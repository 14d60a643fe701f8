package query

import "iter"

// Filters are the filters that were given, by the names of their parameters, always in the same order.
func (p Params) Filters() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		given := func(name, value string) bool { return value == "" || yield(name, value) }
		if !given("correlation_id", p.CorrelationID) || !given("event_type", p.EventType) {
			return
		}
		for _, e := range p.equalities() {
			if !given(e.column, e.value) {
				return
			}
		}
		if p.ParentEventID != nil && !yield("parent_event_id", p.ParentEventID.String()) {
			return
		}
		if p.DetailKey != nil && !yield(detailKey, *p.DetailKey) {
			return
		}
		if p.DetailValue != nil && !yield(detailValue, *p.DetailValue) {
			return
		}
		_ = given("since", p.Since) && given("until", p.Until)
	}
}

// Filters are the filters that were given, as those of Params.
func (p StatsParams) Filters() iter.Seq2[string, string] {
	return Params{
		EventType: p.EventType, EventOutcome: p.EventOutcome, Severity: p.Severity, Namespace: p.Namespace, Since: p.Since, Until: p.Until,
	}.Filters()
}
