package spool_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
)

// digest is of all names and contents in a directory.
func digest(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			fmt.Fprintln(sum, path)
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s %x\n", path, sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// left is a directory as a process leaves it: five events, two of them terminal,
// and a rejected one.
func left(t *testing.T) (dir string, rejected uuid.UUID) {
	t.Helper()
	dir = t.TempDir()
	s, err := spool.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]audit.Event, 5)
	for i := range events {
		events[i] = audit.Event{ID: uuid.New(), Type: "test.inspect.event", CorrelationID: fmt.Sprint("rr-", i), Data: []byte("{}")}
	}
	if _, err := s.Append(events[:3], 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(events[3:], 2); err != nil {
		t.Fatal(err)
	}
	bad := audit.Event{ID: uuid.New(), Type: "test.inspect.bad", CorrelationID: "rr-bad", Data: []byte("{}")}
	quarantined := audit.Quarantined{Event: &bad}
	quarantined.ID, quarantined.Type, quarantined.CorrelationID, quarantined.Code = bad.ID, bad.Type, bad.CorrelationID, "invalid"
	if err := errors.Join(s.Quarantine([]audit.Quarantined{quarantined}), s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir, bad.ID
}

func TestInspectShowsWhatIsThereAndChangesNothing(t *testing.T) {
	t.Parallel()
	dir, rejected := left(t)
	before := digest(t, dir)
	for range 2 {
		var seen []string
		report, err := spool.Inspect(dir, func(e audit.SpooledEvent) error {
			seen = append(seen, e.Event.CorrelationID)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if report.InUse || report.Damaged() || report.State.Events != 3 || fmt.Sprint(seen) != "[rr-2 rr-3 rr-4]" {
			t.Errorf("report %+v, events %v", report, seen)
		}
		if len(report.Quarantined) != 1 || report.Quarantined[0].ID != rejected || report.Quarantined[0].Event == nil {
			t.Errorf("quarantine %+v", report.Quarantined)
		}
		if len(report.Segments) != 1 || report.Segments[0].Pending != 3 || report.Segments[0].Terminal != 2 || report.Segments[0].First != 1 || report.Segments[0].Last != 5 {
			t.Errorf("segments %+v", report.Segments)
		}
	}
	if digest(t, dir) != before {
		t.Error("the directory was changed")
	}
}

func TestInspectSeesDamageAndChangesNothing(t *testing.T) {
	t.Parallel()
	dir, _ := left(t)
	segments, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	content, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	const inTheThird = 400 // of five records of less than 200 bytes each
	content[inTheThird] ^= 0xff
	if err := os.WriteFile(segments[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	before := digest(t, dir)
	report, err := spool.Inspect(dir, nil)
	if err != nil || !report.Damaged() || report.State.Damage.Detail == "" || report.State.Events+report.State.Damage.Events+report.Segments[0].Terminal < 5 {
		t.Errorf("report %+v, %v", report, err)
	}
	if digest(t, dir) != before {
		t.Error("the directory was changed")
	}
}

func TestInspectOfADirectoryInUse(t *testing.T) {
	t.Parallel()
	dir, _ := left(t)
	s, err := spool.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	report, err := spool.Inspect(dir, nil)
	if err != nil || !report.InUse || report.State.Events != 3 {
		t.Errorf("report %+v, %v, want that it is in use", report, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if report, err := spool.Inspect(dir, nil); err != nil || report.InUse {
		t.Errorf("report %+v, %v, want that it is free", report, err)
	}
	if _, err := spool.Inspect(filepath.Join(dir, "nowhere"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that there is nothing", err)
	}
}

func TestClearRemovesWhatIsEmptyAndNothingElse(t *testing.T) {
	t.Parallel()
	dir, rejected := left(t)
	if err := spool.Clear(dir); !errors.Is(err, spool.ErrNotEmpty) {
		t.Errorf("error %v with pending events, want that it is not empty", err)
	}
	s, err := spool.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := spool.Clear(dir); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("error %v, want that it is in use", err)
	}
	if err := errors.Join(s.Release(5), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := spool.Clear(dir); !errors.Is(err, spool.ErrNotEmpty) {
		t.Errorf("error %v with a rejected event, want that it is not empty", err)
	}
	if report, err := spool.Inspect(dir, nil); err != nil || len(report.Quarantined) != 1 {
		t.Errorf("report %+v, %v: the rejected event is gone", report, err)
	}
	if s, err = spool.Open(dir); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Discard([]uuid.UUID{rejected}), s.Close()); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "quarantine", "notes of a person")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := spool.Clear(dir); err == nil || errors.Is(err, spool.ErrNotEmpty) {
		t.Errorf("error %v, want that a file is not the spool's", err)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	if err := spool.Clear(dir); err != nil {
		t.Errorf("clear: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
