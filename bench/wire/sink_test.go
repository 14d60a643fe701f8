package wire_test

import (
	"fmt"
	"testing"

	"kubernaut.ai/pkg/audit/httpsink"
)

// BenchmarkSink writes through the client as it is: encoded, sent, committed, acknowledged.
func BenchmarkSink(b *testing.B) {
	for _, n := range sizes {
		for _, compression := range []httpsink.Compression{httpsink.CompressionNone, httpsink.CompressionGzip, httpsink.CompressionZstd} {
			b.Run(fmt.Sprintf("%v/%d", compression, n), func(b *testing.B) {
				sink, err := httpsink.New(dataStorage, httpsink.WithCompression(compression))
				if err != nil {
					b.Fatal(err)
				}
				defer sink.CloseIdleConnections()
				for round := 0; b.Loop(); round++ {
					b.StopTimer()
					batch := batchOf(n, fmt.Sprint("sink", compression, round))
					b.StartTimer()
					if _, err := sink.Write(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
			})
		}
	}
}
