// Package signaltest has what the tests of adapters share: how a body is read,
// and the bounds that hold for every notification and every error.
package signaltest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Parse is the function of an adapter.
type Parse func(b *body.Reader, receivedAt time.Time) (*signal.Notification, error)

// ReceivedAt is when all bodies are received.
func ReceivedAt() time.Time { return time.Date(2026, 11, 23, 9, 36, 0, 123_456_789, time.UTC) }

// Limits are the default ones.
func Limits() body.Limits { return body.Limits{Bytes: 16 << 20, Signals: 10_000, Blank: 1 << 20} }

// Read parses a body within limits, with as much memory as one body can cost.
func Read(parse Parse, text io.Reader, l body.Limits) (*signal.Notification, error) {
	memory := l.Cost()
	r := body.NewReader(text, func(n int64) error {
		if memory -= n; memory < 0 {
			return fmt.Errorf("a body took %d bytes more than it may cost", -memory)
		}
		return nil
	}, l)
	return parse(r, ReceivedAt())
}

// All makes all observations.
func All(n *signal.Notification) []signal.Observation {
	made := make([]signal.Observation, n.Observations.Len())
	for i := range made {
		made[i] = n.Observations.At(i)
	}
	return made
}

// AllocatedBytes is what a function allocates, garbage included.
func AllocatedBytes(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The bounds of a fuzzed body. An alert of 47 bytes becomes an observation with
// its own copy of the fields that all alerts share; the first complaints and the
// decoder's buffers have a fixed cost. The time is far more than any body needs.
const (
	fixedBytes  = 1 << 20
	bytesOfByte = 200
	maxTime     = 5 * time.Second
	maxError    = 64 << 10
)

// Fuzz checks what holds for every body: it costs memory in proportion to its
// length and little time, its signals fit the schema of the resource, and an
// error names at most a bounded number of fields.
func Fuzz(t *testing.T, parse Parse, text []byte) {
	t.Helper()
	began := time.Now()
	var n *signal.Notification
	var err error
	allocated := AllocatedBytes(func() {
		if n, err = Read(parse, bytes.NewReader(text), Limits()); err == nil {
			All(n)
		}
	})
	if bound := uint64(fixedBytes + bytesOfByte*len(text)); allocated > bound {
		t.Errorf("%d bytes allocated %d, at most %d expected", len(text), allocated, bound)
	}
	if took := time.Since(began); took > maxTime {
		t.Errorf("%d bytes took %s", len(text), took)
	}
	var invalid *signal.InvalidError
	switch {
	case err == nil && n.Observations.Len() == 0:
		t.Error("a notification without a signal was accepted")
	case err == nil:
		CheckBounds(t, n)
	case !errors.As(err, &invalid) || len(invalid.Fields) == 0 || len(invalid.Fields) > signal.MaxComplaints+1:
		t.Errorf("error %v names no field, or too many", err)
	case len(err.Error()) > maxError:
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// CheckBounds compares the signals of a notification with the schema of the resource.
func CheckBounds(t *testing.T, n *signal.Notification) {
	t.Helper()
	for _, o := range All(n) {
		if o.Invalid == nil {
			checkSignal(t, &o)
		}
	}
}

func checkSignal(t *testing.T, o *signal.Observation) {
	t.Helper()
	s := &o.Spec
	texts := map[string]text{
		"signalName":      {s.SignalName, 1, 253},
		"signalSource":    {s.SignalSource, 1, 253},
		"severity":        {s.Severity, 0, 63},
		"providerData":    {s.ProviderData, 0, 16384},
		"originalPayload": {s.OriginalPayload, 0, 65536},
	}
	if o.Target != nil {
		texts["target.apiVersion"] = text{o.Target.APIVersion, 0, 317}
		texts["target.kind"] = text{o.Target.Kind, 1, 63}
		texts["target.name"] = text{o.Target.Name, 1, 253}
		texts["target.namespace"] = text{o.Target.Namespace, 0, 63}
	}
	for what, text := range texts {
		if c := utf8.RuneCountInString(text.value); c < text.least || c > text.most || !storable(text.value) {
			t.Errorf("%s has %d characters, want %d to %d of valid UTF-8 without NUL", what, c, text.least, text.most)
		}
	}
	for _, pairs := range []map[string]string{s.Labels, s.Annotations} {
		if len(pairs) > signal.MaxPairs {
			t.Errorf("%d labels or annotations", len(pairs))
		}
		for value := range maps.Values(pairs) {
			if !storable(value) {
				t.Errorf("value %q cannot be stored", value)
			}
		}
	}
	if encoded, err := json.Marshal(s); err != nil || len(encoded) > 1<<20 {
		t.Errorf("the spec takes %d bytes as JSON: %v", len(encoded), err)
	}
}

// text is a field with the bounds of its length, in characters.
type text struct {
	value       string
	least, most int
}

func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }
