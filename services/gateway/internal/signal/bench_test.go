package signal_test

import (
	"testing"

	"kubernaut.ai/services/gateway/internal/signal"
)

func BenchmarkParseAlertmanager(b *testing.B) {
	text := body(b, "group-of-three.json")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := signal.ParseAlertmanager(text, received()); err != nil {
			b.Fatal(err)
		}
	}
}
