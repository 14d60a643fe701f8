package audittest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"kubernaut.ai/pkg/audit"
)

// sameContent is DataStorage's rule for a replay: the timestamp, durations and
// producer fields do not count.
func sameContent(a, b *audit.Event) bool {
	x, y := *a, *b
	sameData := equalJSON(x.Data, y.Data)
	for _, e := range []*audit.Event{&x, &y} {
		e.Data, e.Timestamp, e.Duration, e.Producer = nil, time.Time{}, nil, audit.Producer{}
	}
	return sameData && reflect.DeepEqual(x, y)
}

func equalJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := decodeJSON(a)
	y, errY := decodeJSON(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// decodeJSON keeps numbers as they are written.
func decodeJSON(data json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode event data: %w", err)
	}
	return v, nil
}

// clone keeps the stored event apart from the batch, which belongs to the caller.
func clone(e audit.Event) audit.Event {
	e.Data = slices.Clone(e.Data)
	if e.Duration != nil {
		d := *e.Duration
		e.Duration = &d
	}
	return e
}

func cloneAll(batch []audit.Event) []audit.Event {
	clones := make([]audit.Event, len(batch))
	for i := range batch {
		clones[i] = clone(batch[i])
	}
	return clones
}
