package demo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"kubernaut.ai/api/datastorage"
)

const phaseTransition = "signalprocessing.phase.transition"

// proposed are the facts that the trail of a request with a proposal must contain: event types, and
// for transitions their phases, too.
var proposed = []string{
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
	"remediation.workflow.selected",
	"remediation.approval.requested",
	"gateway.signal.resolved",
	"remediation.request.completed",
}

// remediated and rejected are the facts of a trail after an approval and after a rejection.
var (
	remediated = slices.Concat(proposed, []string{
		"remediation.approval.approved",
		"workflowexecution.execution.started",
		"workflowexecution.execution.completed",
		"remediation.verification.started",
		"remediation.verification.passed",
	})
	rejected = slices.Concat(proposed, []string{
		"remediation.approval.rejected",
		"remediation.manual_review.required",
	})
)

// gateways is the prefix of the event types without derived ids: a repeated step may record such a
// fact again. The facts of other services are stored exactly once.
const gateways = "gateway."

// gaps describes the expected facts that are missing, or stored more than once although they
// must not be.
func gaps(events []datastorage.StoredEvent, expected []string) []string {
	counts := map[string]int{}
	for i := range events {
		counts[factOf(&events[i])]++
	}
	var found []string
	for _, fact := range expected {
		count := counts[fact]
		if count == 0 || count > 1 && !strings.HasPrefix(fact, gateways) {
			found = append(found, fmt.Sprintf("%s: %d of 1", fact, count))
		}
	}
	return found
}

func factOf(e *datastorage.StoredEvent) string {
	if e.EventType != phaseTransition {
		return e.EventType
	}
	var data struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	// Data of another shape is no transition that is expected.
	_ = json.Unmarshal(e.EventData, &data)
	return fmt.Sprintf("%s %s → %s", e.EventType, data.From, data.To)
}
