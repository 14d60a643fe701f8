package demo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kubernaut.ai/api/datastorage"
)

// trails are the facts that are expected of the recorded trails.
func trails() map[string][]string {
	return map[string][]string{"approved": remediated, "rejected": rejected}
}

// recordedTrail is the trail of a real run of the demo, as DataStorage returned it; of the events'
// data, it has the phases only.
func recordedTrail(t *testing.T, name string) []datastorage.StoredEvent {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
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
	for name, expected := range trails() {
		trail := recordedTrail(t, name)
		if found := gaps(trail, expected); found != nil {
			t.Errorf("%s: gaps %v", name, found)
		}
		if len(trail) != len(expected) {
			t.Errorf("%s: %d events, but %d are expected", name, len(trail), len(expected))
		}
	}
}

func TestEveryMissingEventIsAGap(t *testing.T) {
	for name, expected := range trails() {
		for i, missing := range recordedTrail(t, name) {
			found := gaps(slices.Delete(recordedTrail(t, name), i, i+1), expected)
			if len(found) != 1 || !strings.HasPrefix(found[0], missing.EventType) || !strings.HasSuffix(found[0], ": 0 of 1") {
				t.Errorf("%s without event %d, a %s: gaps %v", name, i, missing.EventType, found)
			}
		}
	}
}

func TestARepeatedEventWithADerivedIDIsAGap(t *testing.T) {
	for name, expected := range trails() {
		for i, repeated := range recordedTrail(t, name) {
			found := gaps(append(recordedTrail(t, name), repeated), expected)
			derived := repeated.EventCategory != "gateway"
			if derived != (len(found) == 1 && strings.HasPrefix(found[0], repeated.EventType) && strings.HasSuffix(found[0], ": 2 of 1")) {
				t.Errorf("%s, event %d twice, a %s: gaps %v", name, i, repeated.EventType, found)
			}
			if !derived && found != nil {
				t.Errorf("%s, another %s is a gap: %v", name, repeated.EventType, found)
			}
		}
	}
}

func TestARepeatedTransitionDoesNotReplaceAnother(t *testing.T) {
	trail := recordedTrail(t, "approved")
	var transitions []int
	for i := range trail {
		if trail[i].EventType == "signalprocessing.phase.transition" {
			transitions = append(transitions, i)
		}
	}
	trail[transitions[1]] = trail[transitions[0]]
	if found := gaps(trail, remediated); len(found) != 2 {
		t.Errorf("one transition twice and another missing: gaps %v", found)
	}
}
