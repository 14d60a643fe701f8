package demo

import (
	"fmt"
	"strings"

	"kubernaut.ai/api/datastorage"
)

const phaseTransition = "signalprocessing.phase.transition"

// expected are the facts that the trail of a classified request must contain: event types, and
// for transitions their phases, too.
var expected = []string{
	"gateway.signal.received",
	"gateway.crd.created",
	phaseTransition + " Pending → Enriching",
	"signalprocessing.enrichment.completed",
	phaseTransition + " Enriching → Classifying",
	"signalprocessing.classification.decision",
	phaseTransition + " Classifying → Categorizing",
	"signalprocessing.business.classified",
	"signalprocessing.signal.processed",
	phaseTransition + " Categorizing → Completed",
}

// oncePrefix is the prefix of the event types with derived ids: repeated steps record the same
// event, so that each fact is stored exactly once. Other facts may be stored more often.
const oncePrefix = "signalprocessing."

// gaps describes the expected facts that are missing, or stored more than once although they
// must not be.
func gaps(events []datastorage.StoredEvent) []string {
	counts := map[string]int{}
	for i := range events {
		counts[factOf(&events[i])]++
	}
	var found []string
	for _, fact := range expected {
		count := counts[fact]
		if count == 0 || count > 1 && strings.HasPrefix(fact, oncePrefix) {
			found = append(found, fmt.Sprintf("%s: %d of 1", fact, count))
		}
	}
	return found
}

func factOf(e *datastorage.StoredEvent) string {
	if e.EventType == phaseTransition {
		return e.EventType + " " + summary(e)
	}
	return e.EventType
}
