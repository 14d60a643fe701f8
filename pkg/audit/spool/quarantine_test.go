package spool_test

import (
	"errors"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// rejected makes rejected events.
func rejected(numbers ...int) []audit.Quarantined {
	list := make([]audit.Quarantined, 0, len(numbers))
	for _, number := range numbers {
		event := numbered(number)
		event.Data = []byte(`{"number":1,"text":"<&>"}`)
		list = append(list, audit.Quarantined{
			Rejection: audit.Rejection{
				Reference: audit.Reference{ID: event.ID, Type: event.Type, CorrelationID: event.CorrelationID},
				Code:      "invalid", Reason: "event_data has no severity",
			},
			Event: &event,
		})
	}
	return list
}

func (b *bundle) wantQuarantined(t *testing.T, numbers ...int) {
	t.Helper()
	got, err := b.Quarantined()
	if err != nil {
		t.Fatal(err)
	}
	want := rejected(numbers...)
	if len(got) != len(want) || (len(want) > 0 && !reflect.DeepEqual(got, want)) {
		t.Fatalf("quarantine: got %+v, want %v", got, numbers)
	}
}

func TestQuarantineIsDurable(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	for _, list := range [][]audit.Quarantined{rejected(1, 2, 3), rejected(2, 4), rejected(4), nil} {
		if err := b.Quarantine(list); err != nil {
			t.Fatal(err)
		}
	}
	b.wantQuarantined(t, 1, 2, 3, 4)
	b.crash(t)
	b.wantQuarantined(t, 1, 2, 3, 4)
	if err := b.Discard([]uuid.UUID{idOf(2), idOf(4), idOf(99)}); err != nil {
		t.Fatal(err)
	}
	b.wantQuarantined(t, 1, 3)
	b.crash(t)
	b.wantQuarantined(t, 1, 3)
	if err := b.Quarantine(rejected(4)); err != nil {
		t.Fatal(err)
	}
	b.wantQuarantined(t, 1, 3, 4)
	if err := b.Discard([]uuid.UUID{idOf(1), idOf(3), idOf(4)}); err != nil {
		t.Fatal(err)
	}
	b.crash(t)
	b.wantQuarantined(t)
}

func TestQuarantineKeepsNamesWithoutContents(t *testing.T) {
	b := inDirectory(t)
	list := rejected(1, 2, 3)
	list[0].Event = nil
	list[1].Event.Data = nil
	list[2].Event.Data = []byte("\xff not JSON")
	if err := b.Quarantine(list); err != nil {
		t.Fatal(err)
	}
	b.reopen(t)
	if got, err := b.Quarantined(); err != nil || !reflect.DeepEqual(got, list) {
		t.Fatalf("got %+v (%v), want %+v", got, err, list)
	}
}

func TestQuarantineKeepsEveryField(t *testing.T) {
	b := inDirectory(t)
	event := complete(t)
	list := rejected(1)
	list[0].Event = &event
	if err := b.Quarantine(list); err != nil {
		t.Fatal(err)
	}
	b.reopen(t)
	if got, err := b.Quarantined(); err != nil || !reflect.DeepEqual(got, list) {
		t.Fatalf("got %+v (%v), want %+v", got[0].Event, err, list[0].Event)
	}
}

func TestQuarantineIsBounded(t *testing.T) {
	t.Run("events", func(t *testing.T) {
		b := onDisk(t, spooltest.NewDisk(), spool.WithQuarantine(3, 1<<20))
		if err := b.Quarantine(rejected(1, 2, 3)); err != nil {
			t.Fatal(err)
		}
		if err := b.Quarantine(rejected(4)); !errors.Is(err, audit.ErrFull) {
			t.Fatalf("got %v", err)
		}
		if err := b.Quarantine(rejected(3, 2)); err != nil {
			t.Fatalf("events that are there already: %v", err)
		}
		if err := b.Discard([]uuid.UUID{idOf(1)}); err != nil {
			t.Fatal(err)
		}
		if err := b.Quarantine(rejected(4)); err != nil {
			t.Fatal(err)
		}
		b.wantQuarantined(t, 2, 3, 4)
	})
	t.Run("bytes", func(t *testing.T) {
		b := onDisk(t, spooltest.NewDisk(), spool.WithQuarantine(100, 2000))
		if err := b.Quarantine(rejected(1, 2)); !errors.Is(err, audit.ErrFull) {
			t.Fatalf("got %v", err)
		}
		b.wantQuarantined(t)
	})
	t.Run("disk", func(t *testing.T) {
		b := onDisk(t, spooltest.NewDisk(spooltest.WithCapacity(100)))
		if err := b.Quarantine(rejected(1)); !errors.Is(err, audit.ErrFull) {
			t.Fatalf("got %v", err)
		}
		b.reopen(t)
		b.wantQuarantined(t)
	})
}

func TestDamagedQuarantineIsReported(t *testing.T) {
	disk := spooltest.NewDisk()
	b := onDisk(t, disk)
	for _, list := range [][]audit.Quarantined{rejected(1), rejected(2)} {
		if err := b.Quarantine(list); err != nil {
			t.Fatal(err)
		}
	}
	name := "00000000000000000001.json"
	if err := disk.Corrupt(path.Join("/spool/quarantine", name), func(contents []byte) []byte {
		return []byte(strings.Replace(string(contents), "severity", "security", 1))
	}); err != nil {
		t.Fatal(err)
	}
	b.reopen(t)
	if damage := b.State().Damage; damage.Bytes == 0 || !strings.Contains(damage.Detail, name) {
		t.Errorf("damage: %+v", damage)
	}
	got, err := b.Quarantined()
	if err != nil || !reflect.DeepEqual(got, rejected(2)) {
		t.Fatalf("got %v (%v)", got, err)
	}
}

func TestQuarantineThatIsDamagedLaterIsReported(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	for _, list := range [][]audit.Quarantined{rejected(1), rejected(2)} {
		if err := b.Quarantine(list); err != nil {
			t.Fatal(err)
		}
	}
	name := "00000000000000000001.json"
	if err := b.disk.Corrupt("/spool/quarantine/"+name, func([]byte) []byte { return []byte("{") }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.wantQuarantined(t, 2)
	}
	if detail := b.State().Damage.Detail; strings.Count(detail, name) != 1 {
		t.Fatalf("damage: %s", detail)
	}
	b.disk.FailNext(spooltest.Read, false) // as opposed to what may be read the next time
	if got, err := b.Quarantined(); !errors.Is(err, spooltest.ErrFailed) || len(got) != 1 {
		t.Fatalf("got %v (%v)", got, err)
	}
}

func TestQuarantineSurvivesFailures(t *testing.T) {
	for _, operation := range []spooltest.Operation{spooltest.Create, spooltest.Write, spooltest.Sync, spooltest.Rename, spooltest.SyncDir} {
		for _, afterEffect := range []bool{false, true} {
			b := onDisk(t, spooltest.NewDisk())
			if err := b.Quarantine(rejected(1, 2)); err != nil {
				t.Fatal(err)
			}
			b.disk.FailNext(operation, afterEffect)
			if err := b.Quarantine(rejected(3)); !errors.Is(err, spooltest.ErrFailed) {
				t.Fatalf("operation %d: got %v", operation, err)
			}
			b.disk.FailNext(operation, afterEffect)
			if err := b.Discard([]uuid.UUID{idOf(1)}); !errors.Is(err, spooltest.ErrFailed) {
				t.Fatalf("operation %d: got %v", operation, err)
			}
			if err := b.Quarantine(rejected(3)); err != nil {
				t.Fatal(err)
			}
			if err := b.Discard([]uuid.UUID{idOf(1)}); err != nil {
				t.Fatal(err)
			}
			b.wantQuarantined(t, 2, 3)
			b.crash(t)
			b.wantQuarantined(t, 2, 3)
		}
	}
}

// TestFileInDoubtDoesNotComeBack: the file was renamed and nobody said so, and
// the same events were kept and discarded since.
func TestFileInDoubtDoesNotComeBack(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.disk.FailNext(spooltest.SyncDir, true)
	if err := b.Quarantine(rejected(1)); !errors.Is(err, spooltest.ErrFailed) {
		t.Fatalf("got %v", err)
	}
	if err := b.Quarantine(rejected(1)); err != nil {
		t.Fatal(err)
	}
	b.mustDiscard(t, 1)
	b.crash(t)
	b.wantQuarantined(t)
}

func TestLeftTemporaryFileIsNotInTheWay(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	if err := b.Quarantine(rejected(1, 2)); err != nil {
		t.Fatal(err)
	}
	b.disk.FailNext(spooltest.Rename, false)
	b.disk.FailNext(spooltest.Remove, false) // of the file itself
	if err := b.Discard([]uuid.UUID{idOf(1)}); !errors.Is(err, spooltest.ErrFailed) {
		t.Fatalf("got %v", err)
	}
	b.mustDiscard(t, 1)
	b.crash(t)
	b.wantQuarantined(t, 2)
}

// heldRename stops a process in the middle of a write of the quarantine.
type heldRename struct {
	*spooltest.Disk

	reached, gate chan struct{}
}

func (h *heldRename) Rename(from, to string) error {
	close(h.reached)
	<-h.gate
	return h.Disk.Rename(from, to)
}

// TestQuarantineHoldsUpNobody hangs if the log, or State, waits for the quarantine's files.
func TestQuarantineHoldsUpNobody(t *testing.T) {
	files := &heldRename{Disk: spooltest.NewDisk(), reached: make(chan struct{}), gate: make(chan struct{})}
	b := onDisk(t, files.Disk, spool.WithFiles(files))
	kept := make(chan error)
	go func() { kept <- b.Quarantine(rejected(1)) }()
	<-files.reached
	b.mustAppend(t, 0, batchOf(1, 3)...)
	b.mustRelease(t, 1)
	if state := b.State(); state.Events != 2 {
		t.Errorf("state: %+v", state)
	}
	b.wantNumbers(t, 2, 3)
	close(files.gate)
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
}

// TestDiscardOneByOne wants the room of what was discarded back, and a cost that
// does not grow with what is left.
func TestDiscardOneByOne(t *testing.T) {
	const events, spareNotes = 3000, 1000
	b := onDisk(t, spooltest.NewDisk())
	numbers := make([]int, events)
	for i := range numbers {
		numbers[i] = i + 1
	}
	if err := b.Quarantine(rejected(numbers...)); err != nil {
		t.Fatal(err)
	}
	before, rewritten := b.quarantineBytes(t), b.disk.Count(spooltest.Rename)
	for _, number := range numbers[:events-1] {
		b.mustDiscard(t, number)
		if number == spareNotes+200 { // the notes were written anew, the file of the events was not
			b.crash(t)
			if left, err := b.Quarantined(); err != nil || len(left) != events-number {
				t.Fatalf("%d events are left of %d (%v)", len(left), events-number, err)
			}
		}
	}
	if got := b.disk.Count(spooltest.Rename) - rewritten; got > 20 {
		t.Errorf("files were written anew %d times", got)
	}
	if after := b.quarantineBytes(t); after > before/3 {
		t.Errorf("%d bytes of %d are left of 1 event of %d", after, before, events)
	}
	b.crash(t)
	b.wantQuarantined(t, events)
	b.mustDiscard(t, events)
	b.crash(t)
	b.wantQuarantined(t)
	if entries, err := b.disk.List("/spool/quarantine"); err != nil || len(entries) > 1 {
		t.Errorf("left: %v (%v)", entries, err)
	}
}

func TestDiscardFromManyFiles(t *testing.T) {
	const files = 1000
	b := onDisk(t, spooltest.NewDisk())
	ids := make([]uuid.UUID, 0, files)
	for n := range files {
		if err := b.Quarantine(rejected(n + 1)); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, idOf(n+1))
	}
	syncs := b.disk.Count(spooltest.Sync) + b.disk.Count(spooltest.SyncDir)
	if err := b.Discard(ids); err != nil {
		t.Fatal(err)
	}
	if got := b.disk.Count(spooltest.Sync) + b.disk.Count(spooltest.SyncDir) - syncs; got > 3 {
		t.Errorf("%d syncs", got)
	}
	b.wantQuarantined(t)
}

func (b *bundle) mustDiscard(t *testing.T, numbers ...int) {
	t.Helper()
	ids := make([]uuid.UUID, 0, len(numbers))
	for _, number := range numbers {
		ids = append(ids, idOf(number))
	}
	if err := b.Discard(ids); err != nil {
		t.Fatalf("discard: %v", err)
	}
}

func (b *bundle) quarantineBytes(t *testing.T) (bytes int64) {
	t.Helper()
	entries, err := b.disk.List("/spool/quarantine")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		bytes += entry.Bytes
	}
	return bytes
}

func TestQuarantineFileSpeaksTheWiresNames(t *testing.T) {
	disk := spooltest.NewDisk()
	b := onDisk(t, disk)
	list := rejected(1, 2)
	list[0].Event.Producer = audit.Producer{ID: "gateway-0", Epoch: 7, Sequence: 8}
	list[1].Code, list[1].Event, list[1].LostEvents = "damaged", nil, 3
	if err := b.Quarantine(list); err != nil {
		t.Fatal(err)
	}
	contents, err := disk.Contents("/spool/quarantine/00000000000000000001.json")
	if err != nil {
		t.Fatal(err)
	}
	compact := strings.Join(strings.Fields(string(contents)), "")
	for _, part := range []string{`"producer":{"id":"gateway-0","epoch":7,"sequence":8}`, `"lost_events":3`} {
		if !strings.Contains(compact, part) {
			t.Errorf("no %s in %s", part, compact)
		}
	}
	b.reopen(t)
	if got, err := b.Quarantined(); err != nil || !reflect.DeepEqual(got, list) {
		t.Fatalf("got %+v (%v), want %+v", got, err, list)
	}
}
