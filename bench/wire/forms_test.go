package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

type encoding struct {
	name   string
	header string
	encode func(body []byte) []byte
}

// encodings as they are tuned for speed; the quickest levels of each.
func encodings(tb testing.TB) []encoding {
	tb.Helper()
	fast, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		tb.Fatal(err)
	}
	usual, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		tb.Fatal(err)
	}
	zipper, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	var room []byte
	return []encoding{
		{"none", "", func(body []byte) []byte { return body }},
		{"gzip", "gzip", func(body []byte) []byte {
			out := bytes.NewBuffer(room[:0])
			zipper.Reset(out)
			_, _ = zipper.Write(body)
			_ = zipper.Close()
			room = out.Bytes()
			return room
		}},
		{"zstd", "zstd", func(body []byte) []byte { room = fast.EncodeAll(body, room[:0]); return room }},
		{"zstd-default", "zstd", func(body []byte) []byte { room = usual.EncodeAll(body, room[:0]); return room }},
	}
}

type form struct {
	name, contentType string
	lines             bool
}

var forms = []form{{"array", "application/json", false}, {"lines", "application/x-ndjson", true}}

var sizes = []int{1, 3, 5, 10, 30, 100, 1000, maxBatch}

// maxBatch is what DataStorage takes in one request.
const maxBatch = 10_000

// post sends a body and reads the whole answer.
func post(b *testing.B, body []byte, f form, e encoding, want int) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, dataStorage+"/api/v1/audit/events/batch", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Content-Type", f.contentType)
	if e.header != "" {
		request.Header.Set("Content-Encoding", e.header)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != want {
		b.Fatalf("answer %d %.200s, %v, want %d", response.StatusCode, answer, err, want)
	}
}

// BenchmarkCompress is the client's part alone.
func BenchmarkCompress(b *testing.B) {
	for _, n := range sizes {
		lines := linesOf(b, batchOf(n, "compress"))
		for _, e := range encodings(b)[1:] {
			b.Run(fmt.Sprintf("%s/%d", e.name, n), func(b *testing.B) {
				b.SetBytes(int64(len(lines)))
				size := 0
				for b.Loop() {
					size = len(e.encode(lines))
				}
				report(b, n, size)
			})
		}
	}
}

// BenchmarkDecoded is a request up to the decoded events: compressed, sent,
// decompressed, decoded, and refused before anything is written.
func BenchmarkDecoded(b *testing.B) {
	for _, n := range sizes {
		lines := linesOf(b, batchOf(min(n, maxBatch-1), "decoded"))
		for _, f := range forms {
			body := refused(lines, true)
			if !f.lines {
				body = refused(arrayOf(lines), false)
			}
			for _, e := range encodings(b) {
				b.Run(fmt.Sprintf("%s/%s/%d", f.name, e.name, n), func(b *testing.B) {
					size := 0
					for b.Loop() {
						encoded := e.encode(body)
						size = len(encoded)
						post(b, encoded, f, e, http.StatusBadRequest)
					}
					report(b, n, size)
				})
			}
		}
	}
}

// BenchmarkStored is a whole request: compressed, sent, committed, acknowledged.
func BenchmarkStored(b *testing.B) {
	for _, n := range sizes {
		for _, f := range forms {
			for _, e := range encodings(b)[:3] {
				b.Run(fmt.Sprintf("%s/%s/%d", f.name, e.name, n), func(b *testing.B) {
					size, round := 0, 0
					for b.Loop() {
						b.StopTimer()
						round++
						body := linesOf(b, batchOf(n, fmt.Sprint(f.name, e.name, round)))
						if !f.lines {
							body = arrayOf(body)
						}
						b.StartTimer()
						encoded := e.encode(body)
						size = len(encoded)
						post(b, encoded, f, e, http.StatusCreated)
					}
					report(b, n, size)
				})
			}
		}
	}
}

func report(b *testing.B, events, bytes int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(events), "ns/event")
	b.ReportMetric(float64(bytes)/float64(events), "wire-B/event")
}
