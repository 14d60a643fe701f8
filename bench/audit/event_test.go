package main

import "testing"

func TestEventsAreValidAndOfOneSize(t *testing.T) {
	for _, n := range []int{0, 7, 99_999_999} {
		e := newEvent(correlationID(n))
		if err := e.Validate(); err != nil {
			t.Errorf("event %d: %v", n, err)
		}
		size := len(e.Type) + len(e.Category) + len(e.Action) + len(e.Outcome) + len(e.CorrelationID) + len(e.ResourceID) + len(e.Data)
		if size != eventBytes {
			t.Errorf("event %d has %d bytes, want %d", n, size, eventBytes)
		}
	}
}
