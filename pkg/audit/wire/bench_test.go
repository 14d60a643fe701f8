package wire_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"kubernaut.ai/pkg/audit/wire"
)

// sample is data of the Gateway, about as large as its name says.
func sample(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.TrimSpace(text)
}

func BenchmarkCheck(b *testing.B) {
	for _, size := range []string{"200B", "1KiB", "16KiB"} {
		data := sample(b, size)
		b.Run("check/"+size, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := wire.CheckData(data, "a.b"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("canonical/"+size, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := wire.CanonicalData(data, "a.b", wire.MaxDataBytes); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encoding-json/"+size, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if !json.Valid(data) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
