package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func ids(t *testing.T, b *batch) (events, trails map[string]int) {
	t.Helper()
	events, trails = map[string]int{}, map[string]int{}
	for text := range bytes.Lines(b.body) {
		var e struct {
			ID    string          `json:"event_id"`
			Trail string          `json:"correlation_id"`
			Data  json.RawMessage `json:"event_data"`
		}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		const bytesOfData = 474
		if len(e.Data) != bytesOfData {
			t.Fatalf("%d bytes of data, want %d", len(e.Data), bytesOfData)
		}
		events[e.ID]++
		trails[e.Trail]++
	}
	return events, trails
}

func TestABatchHasNewIdsAndTrailsOfEightEvents(t *testing.T) {
	b := newBatch(20)
	b.renew(time.Now())
	before, trails := ids(t, b)
	if len(before) != 20 || len(trails) != 3 {
		t.Errorf("%d ids and %d trails, want 20 and 3", len(before), len(trails))
	}
	b.renewOthers(time.Now())
	after, _ := ids(t, b)
	kept := 0
	for id := range after {
		kept += before[id]
	}
	if kept != 1 {
		t.Errorf("%d ids were kept, want the first one", kept)
	}
}
