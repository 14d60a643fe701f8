package demo

import (
	"fmt"

	"kubernaut.ai/api/datastorage"
)

// expected is what the trail of a classified request holds, at least so often.
var expected = []struct {
	eventType string
	times     int
}{
	{"gateway.signal.received", 1},
	{"gateway.crd.created", 1},
	{"signalprocessing.phase.transition", 4},
	{"signalprocessing.enrichment.completed", 1},
	{"signalprocessing.classification.decision", 1},
	{"signalprocessing.business.classified", 1},
	{"signalprocessing.signal.processed", 1},
}

// onceCategory is the category whose events have derived ids: a trail holds
// exactly as many as expected, since nothing can double them.
const onceCategory = "signalprocessing"

// gaps says what a trail lacks, or holds too often.
func gaps(events []datastorage.StoredEvent) []string {
	counts := map[string]int{}
	categories := map[string]string{}
	for i := range events {
		counts[events[i].EventType]++
		categories[events[i].EventType] = events[i].EventCategory
	}
	var found []string
	for _, want := range expected {
		have := counts[want.eventType]
		doubled := have > want.times && categories[want.eventType] == onceCategory
		if have < want.times || doubled {
			found = append(found, fmt.Sprintf("%s: %d of %d", want.eventType, have, want.times))
		}
	}
	return found
}
