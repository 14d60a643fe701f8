package demo

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"kubernaut.ai/api/datastorage"
)

// recordedTrail is the trail of a real run of the demo, as DataStorage returned it.
func recordedTrail(t *testing.T) []datastorage.StoredEvent {
	t.Helper()
	text, err := os.ReadFile("testdata/trail.json")
	if err != nil {
		t.Fatal(err)
	}
	var events []datastorage.StoredEvent
	if err := json.Unmarshal(text, &events); err != nil {
		t.Fatal(err)
	}
	return events
}

func TestARecordedTrailHasNoGaps(t *testing.T) {
	trail := recordedTrail(t)
	if found := gaps(trail); found != nil {
		t.Errorf("gaps %v", found)
	}
	if len(trail) != len(expected) {
		t.Errorf("%d events, but %d are expected", len(trail), len(expected))
	}
}

func TestEveryMissingEventIsAGap(t *testing.T) {
	for i, missing := range recordedTrail(t) {
		found := gaps(slices.Delete(recordedTrail(t), i, i+1))
		if len(found) != 1 || !strings.HasPrefix(found[0], missing.EventType) || !strings.HasSuffix(found[0], ": 0 of 1") {
			t.Errorf("without event %d, a %s: gaps %v", i, missing.EventType, found)
		}
	}
}

func TestARepeatedEventWithADerivedIDIsAGap(t *testing.T) {
	for i, repeated := range recordedTrail(t) {
		found := gaps(append(recordedTrail(t), repeated))
		derived := repeated.EventCategory == "signalprocessing"
		if derived != (len(found) == 1 && strings.HasPrefix(found[0], repeated.EventType) && strings.HasSuffix(found[0], ": 2 of 1")) {
			t.Errorf("event %d twice, a %s: gaps %v", i, repeated.EventType, found)
		}
		if !derived && found != nil {
			t.Errorf("another %s is a gap: %v", repeated.EventType, found)
		}
	}
}

func TestARepeatedTransitionDoesNotReplaceAnother(t *testing.T) {
	trail := recordedTrail(t)
	var transitions []int
	for i := range trail {
		if trail[i].EventType == "signalprocessing.phase.transition" {
			transitions = append(transitions, i)
		}
	}
	trail[transitions[1]] = trail[transitions[0]]
	if found := gaps(trail); len(found) != 2 {
		t.Errorf("one transition twice and another missing: gaps %v", found)
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
