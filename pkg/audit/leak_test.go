package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
)

// After Close nothing is left: no goroutine, no file, no connection. The cases
// do not run beside other tests, because they look at the whole process.
func TestCloseLeavesNothingBehind(t *testing.T) {
	for _, sinkName := range []string{"memory", "http"} {
		for _, withSpool := range []bool{false, true} {
			for _, patience := range []time.Duration{0, time.Minute} {
				name := fmt.Sprintf("%s sink, spool %v, patience %v", sinkName, withSpool, patience)
				t.Run(name, func(t *testing.T) {
					dir := filepath.Join(t.TempDir(), "spool")
					filesBefore := openFiles()
					liveAndClose(t, sinkName, dir, withSpool, patience)
					awaitNone(t, "goroutines", storeGoroutines)
					awaitNone(t, "files", func() []string { return newFiles(filesBefore) })
					if withSpool {
						again, err := spool.Open(dir)
						if err != nil {
							t.Fatalf("the spool was not given back: %v", err)
						}
						_ = again.Close()
					}
				})
			}
		}
	}
}

// liveAndClose records, with a sink that hangs where there is no patience, and closes.
func liveAndClose(t *testing.T, sinkName, dir string, withSpool bool, patience time.Duration) {
	t.Helper()
	memory := audittest.NewMemorySink()
	var sink audit.Sink = memory
	if sinkName == "http" {
		server := httptest.NewServer(storing(memory))
		defer server.Close()
		overHTTP, err := httpsink.New(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer overHTTP.CloseIdleConnections()
		sink = overHTTP
	}
	options := []audit.Option{audit.WithBatch(3, 1<<20), audit.WithInterval(time.Millisecond)}
	if withSpool {
		kept, err := spool.Open(dir, spool.WithSegmentBytes(4<<10))
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, audit.WithSpool(kept), audit.WithDurability(audit.Spooled))
	}
	store, err := audit.New(sink, options...)
	if err != nil {
		t.Fatal(err)
	}
	if patience == 0 {
		memory.Hang()
	}
	for n := range 20 {
		record(t, store, audittest.NewEvent("test.leak.event", fmt.Sprint("id-", n%4)))
	}
	if patience > 0 {
		flush(t, store)
	}
	ctx, cancel := patient(t.Context(), patience)
	defer cancel()
	if err := store.Close(ctx); (err == nil) != (patience > 0) {
		t.Errorf("close: %v", err)
	}
	memory.Recover()
}

// storing is a server that puts what it gets into a sink.
func storing(sink audit.Sink) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var ids []string
		for decoder := json.NewDecoder(r.Body); decoder.More(); {
			var sent struct {
				ID string `json:"event_id"`
			}
			if err := decoder.Decode(&sent); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			ids = append(ids, sent.ID)
		}
		if _, err := sink.Write(r.Context(), nil); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"created": len(ids), "duplicates": 0, "event_ids": ids, "consistency_token": "t"})
	}
}

// leakPatience is how long what has ended may take to vanish.
const leakPatience = 10 * time.Second

// awaitNone waits until nothing is left: what ends a goroutine, or closes a
// connection, does so a moment after it said so.
func awaitNone(t *testing.T, what string, left func() []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), leakPatience)
	defer cancel()
	for {
		remaining := left()
		if len(remaining) == 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s are left:\n%s", what, strings.Join(remaining, "\n"))
		}
		runtime.Gosched()
	}
}

// storeGoroutines are those that a store, a spool, or a connection of a sink began.
func storeGoroutines() []string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var found []string
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		created := stack[max(strings.LastIndex(stack, "created by "), 0):]
		for _, ours := range []string{"kubernaut.ai/pkg/audit.", "kubernaut.ai/pkg/audit/spool", "net/http.(*Transport)"} {
			if strings.HasPrefix(created, "created by "+ours) {
				found = append(found, stack)
			}
		}
		// A goroutine of a WaitGroup says who began it in its frames only.
		if strings.HasPrefix(created, "created by sync.(*WaitGroup)") && strings.Contains(stack, "kubernaut.ai/pkg/audit.(") {
			found = append(found, stack)
		}
	}
	return found
}

// openFiles lists the open files and sockets of this process by what they are;
// nothing where the system does not tell.
func openFiles() map[string]bool {
	open := make(map[string]bool)
	entries, _ := os.ReadDir("/proc/self/fd") // there is none on other systems
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			open[target] = true
		}
	}
	return open
}

// newFiles lists the files and sockets that were not open before.
func newFiles(before map[string]bool) []string {
	var found []string
	for target := range openFiles() {
		isOurs := strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "/proc/") || strings.HasPrefix(target, "socket:")
		if isOurs && !before[target] {
			found = append(found, target)
		}
	}
	return found
}
