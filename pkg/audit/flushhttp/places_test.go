package flushhttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/flushhttp"
)

func TestNoCallerHoldsThePlacesOfAnother(t *testing.T) {
	t.Parallel()
	const greedy, other = "192.0.2.1", "192.0.2.2"
	synctest.Test(t, func(t *testing.T) {
		store, sink, _ := audittest.NewStore(t)
		sink.Hang()
		record(t, store, audittest.NewEvent("test.handler.event", "a"))
		handler := flushhttp.Handler(store)
		flush := func(from string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/audit/flush", http.NoBody)
			r.RemoteAddr = from
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w
		}
		answers := make(chan *httptest.ResponseRecorder, 3*flushhttp.MaxConcurrent)
		waiting := 0
		// begin sends flushes that wait, and returns how many of them do.
		begin := func(host string, flushes int) int {
			for n := range flushes {
				go func() { answers <- flush(fmt.Sprintf("%s:%d", host, 1024+n)) }()
			}
			synctest.Wait()
			refused := 0
			for len(answers) > 0 {
				w := <-answers
				if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
					t.Errorf("%s: %d %s, Retry-After %q, want 429 and 1", host, w.Code, w.Body, w.Header().Get("Retry-After"))
				}
				refused++
			}
			waiting += flushes - refused
			return flushes - refused
		}
		if n := begin(greedy, 2*flushhttp.MaxConcurrent); n != flushhttp.MaxConcurrent/2 {
			t.Errorf("%d flushes of one caller wait, want half of %d", n, flushhttp.MaxConcurrent)
		}
		if n := begin(other, 2); n != 2 {
			t.Errorf("%d of 2 flushes of another caller wait", n)
		}
		// The addresses of one host of IPv6 are one caller.
		if n := begin("[2001:db8::1]", flushhttp.MaxConcurrent) + begin("[2001:db8::2]", flushhttp.MaxConcurrent); n != (flushhttp.MaxConcurrent-waiting+n)/2 {
			t.Errorf("%d flushes of one network wait", n)
		}
		sink.Recover()
		for range waiting {
			if w := <-answers; w.Code != http.StatusOK {
				t.Errorf("a flush that waited: %d %s", w.Code, w.Body)
			}
		}
		if w := flush(greedy + ":1"); w.Code != http.StatusOK {
			t.Errorf("afterwards: %d %s", w.Code, w.Body)
		}
	})
}
