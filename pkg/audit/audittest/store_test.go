package audittest_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// The store and its sink use the same clock.
func TestNewStoreIsSlowOnItsClock(t *testing.T) {
	t.Parallel()
	store, sink, clock := audittest.NewStore(t)
	sink.Slow(time.Hour)
	if err := store.Record(t.Context(), audittest.NewEvent("test.store.event", "rr-1")); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() {
		_, err := store.Flush(t.Context())
		flushed <- err
	}()
	if err := sink.AwaitWrites(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clock.Step(time.Hour)
	if err := <-flushed; err != nil {
		t.Errorf("flush: %v", err)
	}
	if n := len(sink.EventsOf("rr-1")); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
}

// unfinished names the environment variable that makes this process the test
// that ends while an event is pending.
const unfinished = "AUDITTEST_UNFINISHED"

// faults are the ways in which TestUnfinished leaves its sink.
func faults() map[string]func(*audittest.MemorySink) {
	return map[string]func(*audittest.MemorySink){
		"fail":               func(s *audittest.MemorySink) { s.Fail(errDown) },
		"fail after storing": func(s *audittest.MemorySink) { s.FailAfterStoring(errDown) },
		"fail next":          func(s *audittest.MemorySink) { s.FailNext(errDown) },
		"hang":               func(s *audittest.MemorySink) { s.Hang() },
		"hang next":          func(s *audittest.MemorySink) { s.HangNext() },
		"slow":               func(s *audittest.MemorySink) { s.Slow(time.Second) },
		"reject": func(s *audittest.MemorySink) {
			s.Reject(func(audit.Event) error { return errors.New("not this one") })
		},
	}
}

// TestUnfinished fails on purpose, in the process that TestCleanupReportsAnUnfinishedTest starts.
func TestUnfinished(t *testing.T) {
	leave, ok := faults()[os.Getenv(unfinished)]
	if !ok {
		return
	}
	store, sink, _ := audittest.NewStore(t) // this line is reported
	leave(sink)
	if err := store.Record(t.Context(), audittest.NewEvent("test.store.event", "rr-1")); err != nil {
		t.Fatal(err)
	}
}

// A test that leaves an event pending fails at once, at its own line.
func TestCleanupReportsAnUnfinishedTest(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("store_test.go")
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(source), "// this line is"+" reported")
	line := regexp.QuoteMeta("store_test.go:") + strconv.Itoa(strings.Count(before, "\n")+1)
	for fault := range faults() {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestUnfinished$", "-test.v")
			test.Env = append(os.Environ(), unfinished+"="+fault)
			output, err := test.CombinedOutput()
			want := line + ": close audit store: flush audit events: 1 lost.*call Recover before the end"
			if fault == "reject" {
				want = line + ": close audit store: flush audit events: 1 rejected"
			}
			if err == nil || !regexp.MustCompile(want).Match(output) {
				t.Errorf("exit %v, output\n%s\nwant %s", err, output, want)
			}
			if took := regexp.MustCompile(`--- FAIL: TestUnfinished \((.*)s\)`).FindSubmatch(output); took == nil {
				t.Errorf("output says no duration:\n%s", output)
			} else if seconds, err := strconv.ParseFloat(string(took[1]), 64); err != nil || seconds > 5 {
				t.Errorf("the test took %s s, want it to end at once", took[1])
			}
		})
	}
}

// Nothing is wrong with a broken sink if nothing is pending.
func TestCleanupAcceptsABrokenSink(t *testing.T) {
	t.Parallel()
	_, sink, _ := audittest.NewStore(t)
	sink.Fail(errDown)
}
