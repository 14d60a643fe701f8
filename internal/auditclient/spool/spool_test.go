package spool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit"
)

// sink takes everything, or nothing while it is away.
type sink struct{ away error }

func (s sink) Write(_ context.Context, events []audit.Event) (audit.Ack, error) {
	if s.away != nil {
		return audit.Ack{}, s.away
	}
	return audit.Ack{Created: len(events)}, nil
}

var away = sink{errors.New("nobody is there")}

func event(correlationID string) *audit.Event {
	return &audit.Event{
		Type: "test.event.happened", Category: "test", Action: "happen", Outcome: audit.OutcomeSuccess,
		CorrelationID: correlationID, Data: []byte("{}"),
	}
}

// open makes a store over a folder, or one without a spool where it is empty.
func open(t *testing.T, dir string, s audit.Sink, log *zap.Logger) *audit.Store {
	t.Helper()
	flags := spool.Flags{Dir: dir}
	store, err := flags.NewStore(s, log)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// over is a context that has ended: Close gives up at once.
func over(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestWhatTheSpoolHasIsNoFailureAtTheEndAndIsSentNext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	core, logged := observer.New(zapcore.InfoLevel)
	store := open(t, dir, away, zap.New(core))
	if err := store.Record(t.Context(), event("rr-1")); err != nil {
		t.Fatal(err)
	}
	if err := spool.Close(over(t), store); err != nil {
		t.Errorf("close: %v, although the event is on disk", err)
	}
	if n := logged.FilterField(zap.Int("spooled_events", 1)).Len(); n != 1 {
		t.Errorf("logged %d times that one event is in the spool: %v", n, logged.All())
	}
	if n := logged.FilterMessageSnippet("memory only").Len(); n != 0 {
		t.Error("warned about memory although there is a spool")
	}

	next := open(t, dir, sink{}, zap.NewNop())
	receipt, err := next.Flush(t.Context())
	if err != nil || receipt.Barrier == 0 {
		t.Errorf("flush in the next life: %+v, %v; want it to cover the event", receipt, err)
	}
	if err := spool.Close(t.Context(), next); err != nil {
		t.Error(err)
	}
}

func TestWithoutASpoolTheLossIsAFailureAndTheStartWarns(t *testing.T) {
	core, logged := observer.New(zapcore.WarnLevel)
	store := open(t, "", away, zap.New(core))
	if n := logged.FilterMessageSnippet("--audit-spool").Len(); n != 1 {
		t.Errorf("warned %d times, want once", n)
	}
	if err := store.Record(t.Context(), event("rr-1")); err != nil {
		t.Fatal(err)
	}
	var failure *audit.FlushError
	if err := spool.Close(over(t), store); !errors.As(err, &failure) || len(failure.Lost) != 1 {
		t.Errorf("close: %v, want it to name the lost event", err)
	}
}

func TestARejectedEventOnDiskIsNoFailureAtTheEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	for range 2 { // the next process finds it, and stops cleanly as well
		core, logged := observer.New(zapcore.InfoLevel)
		store := open(t, dir, refusing{}, zap.New(core))
		if store.State().Rejected == 0 {
			if err := store.Record(t.Context(), event("rr-1")); err != nil {
				t.Fatal(err)
			}
		}
		if err := spool.Close(t.Context(), store); err != nil {
			t.Errorf("close: %v, although the event is on disk", err)
		}
		if n := logged.FilterField(zap.Int("quarantined_events", 1)).Len(); n != 1 {
			t.Errorf("logged %d times that one event is in quarantine: %v", n, logged.All())
		}
	}
}

func TestARejectedEventInMemoryIsAFailureAtTheEnd(t *testing.T) {
	store := open(t, "", refusing{}, zap.NewNop())
	if err := store.Record(t.Context(), event("rr-1")); err != nil {
		t.Fatal(err)
	}
	var failure *audit.FlushError
	if err := spool.Close(t.Context(), store); !errors.As(err, &failure) || len(failure.Rejected) != 1 {
		t.Errorf("close: %v, want it to name the rejected event", err)
	}
}

// refusing refuses every event for good.
type refusing struct{}

func (refusing) Write(context.Context, []audit.Event) (audit.Ack, error) {
	return audit.Ack{}, &audit.RefusedError{Items: []audit.Refusal{{Code: "invalid", Reason: "no"}}}
}

func TestUnusableFlagsAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		flags spool.Flags
		says  []string
	}{
		"a file":             {spool.Flags{Dir: file}, []string{"--audit-spool:", file}},
		"a folder of others": {spool.Flags{Dir: filepath.Dir(file)}, []string{"--audit-spool:", "file", "use a dedicated directory"}},
		"too small":          {spool.Flags{Dir: t.TempDir(), MaxBytes: 1 << 20}, []string{"--audit-spool-max-bytes 1048576", "33554432"}},
		"negative":           {spool.Flags{MaxBytes: -1}, []string{"--audit-spool-max-bytes -1"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.flags.NewStore(sink{}, zap.NewNop())
			if _, ok := errors.AsType[*cli.UsageError](err); !ok {
				t.Fatalf("error %v, want a usage error", err)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestAFolderInUseIsSaidAndPasses(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, sink{}, zap.NewNop())
	flags := spool.Flags{Dir: dir}
	_, err := flags.NewStore(sink{}, zap.NewNop())
	var usage *cli.UsageError
	if err == nil || errors.As(err, &usage) || !strings.Contains(err.Error(), "--audit-spool") || !strings.Contains(err.Error(), "stop the process") {
		t.Errorf("error %v, want one that names the flag and says what to do", err)
	}
	if err := spool.Close(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir, sink{}, zap.NewNop())
	if err := spool.Close(t.Context(), second); err != nil {
		t.Error(err)
	}
}

func TestAFailedStoreGivesItsFolderBack(t *testing.T) {
	dir := t.TempDir()
	flags := spool.Flags{Dir: dir}
	if _, err := flags.NewStore(sink{}, zap.NewNop(), audit.WithInterval(-1)); err == nil {
		t.Fatal("an invalid option was accepted")
	}
	if err := spool.Close(t.Context(), open(t, dir, sink{}, zap.NewNop())); err != nil {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	var f spool.Flags
	var declared cli.Flags
	f.Declare(&declared)
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	declared.AddTo(flags)
	if f.Dir != "" || f.MaxBytes != 1<<30 {
		t.Errorf("defaults %+v", f)
	}
	if err := flags.Parse([]string{"--audit-spool=/spool", "--audit-spool-max-bytes=67108864"}); err != nil {
		t.Fatal(err)
	}
	if f.Dir != "/spool" || f.MaxBytes != 64<<20 {
		t.Errorf("parsed %+v", f)
	}
	if err := flags.Parse([]string{"--audit-spool-max-bytes=0"}); err == nil || !strings.Contains(err.Error(), "want at least 33554432") {
		t.Errorf("0 bytes: error %v", err)
	}
}
