package httpsink_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/httpsink"
)

// bigBatch is large enough to be compressed.
func bigBatch() []audit.Event { return batchOf(200) }

// encodings notes the content encodings of the requests that a server got.
type encodings struct {
	mu   sync.Mutex
	seen []string
}

func (e *encodings) add(r *http.Request) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	encoding := r.Header.Get("Content-Encoding")
	e.seen = append(e.seen, encoding)
	return encoding
}

func (e *encodings) want(t *testing.T, want ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.seen, want) {
		t.Errorf("content encodings %q, want %q", e.seen, want)
	}
}

func TestCompresses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options []httpsink.Option
		batch   []audit.Event
		want    string
	}{
		"zstd by default": {nil, bigBatch(), "zstd"},
		"zstd":            {[]httpsink.Option{httpsink.WithCompression(httpsink.CompressionZstd)}, bigBatch(), "zstd"},
		"gzip":            {[]httpsink.Option{httpsink.WithCompression(httpsink.CompressionGzip)}, bigBatch(), "gzip"},
		"none":            {[]httpsink.Option{httpsink.WithCompression(httpsink.CompressionNone)}, bigBatch(), ""},
		"a small batch":   {nil, batchOf(1), ""},
		"a large batch":   {nil, batchOf(httpsink.DefaultMaxEvents), "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen encodings
			sink := serve(t, func(w http.ResponseWriter, r *http.Request) {
				seen.add(r)
				writeCreated(t, w, idsIn(t, r), 0)
			}, test.options...)
			// The acknowledgement is believed only if the server read the same events.
			for range 2 {
				if ack, err := sink.Write(t.Context(), test.batch); err != nil || ack.Created != len(test.batch) {
					t.Errorf("write: %+v, %v", ack, err)
				}
			}
			seen.want(t, test.want, test.want)
		})
	}
}

func TestSendsPlainWhereTheCompressionIsNotKnown(t *testing.T) {
	t.Parallel()
	const problem = "application/problem+json"
	for name, complaint := range map[string]http.HandlerFunc{
		"415":                          answer(415, problem, `{"title":"what is zstd"}`),
		"415 of a proxy":               answer(415, "text/html", "<html>"),
		"400 of the body":              answer(400, problem, `{"title":"Bad","detail":"the body is not usable JSON"}`),
		"400 of the body's items":      answer(400, problem, `{"title":"Bad","items":[]}`),
		"400 of a proxy":               answer(400, "text/html", "<html>"),
		"422 of the body":              answer(422, problem, `{}`),
		"400 that names no such event": answer(400, problem, `{"title":"Bad","items":[{"index":5000,"code":"invalid","detail":"odd"}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen encodings
			sink := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if seen.add(r) != "" {
					complaint(w, r)
					return
				}
				writeCreated(t, w, idsIn(t, r), 0)
			})
			for range 2 {
				if _, err := sink.Write(t.Context(), bigBatch()); err != nil {
					t.Errorf("write: %v", err)
				}
			}
			seen.want(t, "zstd", "", "") // and it learns
		})
	}
}

func TestBelievesWhoeverReadTheCompressedBatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		refused bool
	}{
		"named refusal":   {answer(400, "application/problem+json", `{"title":"Bad","items":[{"index":7,"code":"invalid","detail":"odd"}]}`), true},
		"413 of a proxy":  {answer(413, "text/html", "<html>"), false},
		"413 of the body": {answer(413, "application/problem+json", `{}`), false},
		"unavailable":     {answer(503, "application/problem+json", `{}`), false},
		"forbidden":       {answer(403, "application/problem+json", `{}`), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen encodings
			sink := serve(t, func(w http.ResponseWriter, r *http.Request) {
				seen.add(r)
				test.answer(w, r)
			})
			if _, err := sink.Write(t.Context(), bigBatch()); errors.Is(err, audit.ErrRefused) != test.refused {
				t.Errorf("write: %v, want refused: %t", err, test.refused)
			}
			seen.want(t, "zstd")
		})
	}
}

func TestF9_AServerWithoutTheCompressionRefusesNothing(t *testing.T) {
	t.Parallel()
	complain := answer(http.StatusBadRequest, "application/problem+json", `{"title":"Bad","detail":"the body is not usable JSON"}`)
	sink := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "" {
			complain(w, r)
			return
		}
		writeCreated(t, w, idsIn(t, r), 0)
	})
	store := newStore(t, sink)
	e := audittest.NewEvent("test.http.owed", "a")
	e.Data = fmt.Appendf(nil, `{"fill":%q}`, strings.Repeat("x", httpsink.CompressedFrom))
	record(t, store, e)
	flush(t, store)
	if n := len(quarantined(t, store)); n != 0 {
		t.Errorf("%d in quarantine, want 0", n)
	}
}

func TestCompressionHasANameForEachValue(t *testing.T) {
	t.Parallel()
	for c, want := range map[httpsink.Compression]string{
		httpsink.CompressionNone: "none", httpsink.CompressionGzip: "gzip", httpsink.CompressionZstd: "zstd", 9: "Compression(9)",
	} {
		if got := c.String(); got != want {
			t.Errorf("%d is %q, want %q", int(c), got, want)
		}
	}
}
