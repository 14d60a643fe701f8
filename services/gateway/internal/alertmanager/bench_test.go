package alertmanager_test

import (
	"bytes"
	"strings"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string][]byte{
		"three alerts":                 file(b, "group-of-three.json"),
		"ten thousand alerts":          []byte(repeated(string(file(b, "alert.json")), 10_000)),
		"one and a million empty ones": []byte(strings.Replace(repeated(`{}`, 1_400_000), `[`, `[`+usable+`,`, 1)),
		"a million empty ones":         []byte(repeated(`{}`, 1_400_000)),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = read(bytes.NewReader(text), limits())
			}
		})
	}
}
