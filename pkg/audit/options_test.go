package audit_test

import (
	"testing"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

func TestNewRefusesUnusableOptions(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]audit.Option{
		"nil clock":             audit.WithClock(nil),
		"nil random source":     audit.WithRandom(nil),
		"nil logger":            audit.WithLogger(nil),
		"nil registerer":        audit.WithRegisterer(nil),
		"empty producer id":     audit.WithProducerID(""),
		"producer id not UTF-8": audit.WithProducerID("\xff"),
		"producer id with NUL":  audit.WithProducerID("a\x00"),
		"no interval":           audit.WithInterval(0),
		"negative interval":     audit.WithInterval(-time.Second),
		"batch of no events":    audit.WithBatch(0, 1),
		"batch of no bytes":     audit.WithBatch(1, 0),
		"room for no event":     audit.WithBounds(0, audit.DefaultMaxBytes),
		"room for small events": audit.WithBounds(1, 1<<20),
		"unknown policy":        audit.WithFullPolicy(audit.FullPolicy(7)),
		"no write timeout":      audit.WithWriteTimeout(0),
		"no backoff":            audit.WithBackoff(0, time.Second),
		"backoff that shrinks":  audit.WithBackoff(time.Second, time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := audit.New(audittest.NewMemorySink(), option); err == nil {
				t.Error("is accepted")
			}
		})
	}
	if _, err := audit.New(nil); err == nil {
		t.Error("nil sink is accepted")
	}
}
