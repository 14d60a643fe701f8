package demo

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"kubernaut.ai/api/datastorage"
)

// wholeTrail is a trail without gaps.
func wholeTrail() []datastorage.StoredEvent {
	var events []datastorage.StoredEvent
	for _, e := range expected {
		for range e.times {
			category, _, _ := strings.Cut(e.eventType, ".")
			events = append(events, datastorage.StoredEvent{EventType: e.eventType, EventCategory: category})
		}
	}
	return events
}

func TestAWholeTrailHasNoGaps(t *testing.T) {
	if found := gaps(wholeTrail()); found != nil {
		t.Errorf("gaps %v", found)
	}
}

func TestEveryMissingEventIsAGap(t *testing.T) {
	for i, missing := range wholeTrail() {
		trail := wholeTrail()
		trail = append(trail[:i], trail[i+1:]...)
		found := gaps(trail)
		if len(found) != 1 || !strings.HasPrefix(found[0], missing.EventType+": ") {
			t.Errorf("without a %s: gaps %v", missing.EventType, found)
		}
	}
}

func TestADoubledTransitionIsAGapAndAnotherSignalIsNone(t *testing.T) {
	doubled := append(wholeTrail(), datastorage.StoredEvent{EventType: "signalprocessing.signal.processed", EventCategory: "signalprocessing"})
	if found := gaps(doubled); !reflect.DeepEqual(found, []string{"signalprocessing.signal.processed: 2 of 1"}) {
		t.Errorf("gaps %v", found)
	}
	again := append(wholeTrail(), datastorage.StoredEvent{EventType: "gateway.signal.received", EventCategory: "gateway"})
	if found := gaps(again); found != nil {
		t.Errorf("gaps %v", found)
	}
}

func TestSummary(t *testing.T) {
	kind, name := "Pod", "checkout"
	for data, want := range map[string]string{
		`{"from": "Pending", "to": "Enriching", "generation": 1}`:                              "Pending → Enriching",
		`{"signal_name": "KubePodCrashLooping", "severity": "critical"}`:                       "KubePodCrashLooping",
		`{"severity": {"value": "high"}, "environment": {"value": "test", "source": "label"}}`: "high, test",
		`{"phase": "Completed", "severity": "high", "environment": "test", "priority": "P2"}`:  "high, test, P2",
		`{"context": {"ownerChain": [{"kind": "ReplicaSet"}, {"kind": "Deployment"}]}}`:        "2 owners found",
		`{"degraded": true, "context": {"degraded": true}}`:                                    "degraded",
		`{"something": "else"}`: "Pod checkout",
	} {
		e := &datastorage.StoredEvent{EventData: json.RawMessage(data), ResourceType: &kind, ResourceId: &name}
		if got := summary(e); got != want {
			t.Errorf("%s: %q, want %q", data, got, want)
		}
	}
}
