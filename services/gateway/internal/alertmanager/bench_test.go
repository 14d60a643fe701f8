package alertmanager_test

import (
	"testing"

	"kubernaut.ai/services/gateway/internal/alertmanager"
)

func BenchmarkParse(b *testing.B) {
	text := body(b, "group-of-three.json")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := alertmanager.Parse(text, received()); err != nil {
			b.Fatal(err)
		}
	}
}
