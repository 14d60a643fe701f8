//go:build !race

package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kubernaut.ai/internal/memory"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// An eighth of a deployed Gateway's limits, so that the test is short. With the
// whole of them, the four bodies took at most 172 MiB.
const (
	maxBytes       = 2 << 20
	maxSignals     = 1250
	bodyMemory     = 14 << 20
	expectedMemory = 96 << 20
)

// worstBodies are the most expensive ones that the limits allow.
func worstBodies() map[string]string {
	long := strings.Repeat("x", 1500)
	var many strings.Builder
	for i := range maxSignals {
		if i > 0 {
			many.WriteByte(',')
		}
		fmt.Fprintf(&many, `{"status":"firing","labels":{"alertname":"A%d","x":"%s"}}`, i, long)
	}
	labels := strings.Repeat(`"":"",`, 330_000)
	return map[string]string{
		"as many alerts as are taken": `{"alerts":[` + many.String() + `],"version":"4"}`,
		"one large alert":             `{"alerts":[{"status":"firing","labels":{"alertname":"A","x":"` + strings.Repeat("x", maxBytes-1000) + `"}}],"version":"4"}`,
		"as many labels as fit":       `{"groupLabels":{` + labels + `"a":""},"alerts":[{"status":"firing","labels":{"alertname":"A"}}],"version":"4"}`,
		"mostly empty alerts":         `{"alerts":[{"status":"firing","labels":{"alertname":"A"}}` + strings.Repeat(`,{}`, maxBytes/6) + `],"version":"4"}`,
	}
}

// It looks at the memory of the whole process, so it is not parallel, and the race detector, which has memory of its
// own, does not watch.
func TestTheWorstBodiesFrom64ConnectionsStayWithinTheMemory(t *testing.T) {
	for name, text := range worstBodies() {
		t.Run(name, func(t *testing.T) {
			b := setup(t, func(o *webhook.Options) {
				o.Limits = body.Limits{Bytes: maxBytes, Signals: maxSignals, Blank: maxBytes / 16}
				o.BodyMemory, o.MaxConcurrent, o.Timeout = memory.NewBudget(bodyMemory), 128, time.Minute
			})
			server := b.serve(t)
			runtime.GC()
			var own runtime.MemStats
			runtime.ReadMemStats(&own)
			var group sync.WaitGroup
			for range 64 {
				group.Go(func() {
					response, err := http.Post(server.URL+webhook.PathPrometheus, "application/json", strings.NewReader(text)) //nolint:noctx // ends with the server
					if err != nil {
						return // an upload that is too slow on a busy machine is cut
					}
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				})
			}
			done := make(chan struct{})
			go func() { group.Wait(); close(done) }()
			peak := uint64(0)
			for sampling := true; sampling; {
				select {
				case <-done:
					sampling = false
				case <-time.After(time.Millisecond):
				}
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapInuse+now.StackInuse-min(now.HeapInuse, own.HeapAlloc))
			}
			if peak > expectedMemory {
				t.Errorf("took %d MiB, at most %d expected", peak>>20, expectedMemory>>20)
			}
		})
	}
}
