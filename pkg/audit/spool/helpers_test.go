package spool_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// numbered makes an event that differs from every other one by its number.
func numbered(number int) audit.Event {
	return audit.Event{
		ID: idOf(number), Version: audit.SchemaVersion, Type: "gateway.signal.received",
		Timestamp: time.UnixMicro(1_700_000_000_000_000 + int64(number)).UTC(),
		Category:  "gateway", Action: "received", Outcome: audit.OutcomeSuccess,
		CorrelationID: fmt.Sprintf("rr-%d", number), Data: json.RawMessage(fmt.Sprintf(`{"number": %d}`, number)),
	}
}

func idOf(number int) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], uint64(number))
	id[6], id[8] = 0x70, 0x80
	return id
}

func numberOf(event *audit.Event) int {
	id := event.ID
	id[8] = 0
	return int(binary.BigEndian.Uint64(id[8:]))
}

func batchOf(first, count int) []audit.Event {
	events := make([]audit.Event, count)
	for i := range events {
		events[i] = numbered(first + i)
	}
	return events
}

// bundle is a spool and what is under it.
type bundle struct {
	*spool.Spool

	dir     string
	options []spool.Option
	disk    *spooltest.Disk // nil: a directory of the machine
}

// small segments, so that a few events need several.
const smallSegment = 4 << 10

func (b *bundle) open(t *testing.T) {
	t.Helper()
	s, err := spool.Open(b.dir, b.options...)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	b.Spool = s
	t.Cleanup(func() { _ = s.Close() })
}

func (b *bundle) reopen(t *testing.T) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	b.open(t)
}

// crash is the loss of power, and the restart.
func (b *bundle) crash(t *testing.T) {
	t.Helper()
	b.disk.Crash()
	_ = b.Close()
	b.open(t)
}

func onDisk(t *testing.T, disk *spooltest.Disk, options ...spool.Option) *bundle {
	t.Helper()
	b := &bundle{dir: "/spool", disk: disk}
	b.options = append([]spool.Option{spool.WithFiles(disk), spool.WithSegmentBytes(smallSegment)}, options...)
	b.open(t)
	return b
}

func inDirectory(t *testing.T, options ...spool.Option) *bundle {
	t.Helper()
	b := &bundle{dir: t.TempDir() + "/spool"}
	b.options = append([]spool.Option{spool.WithSegmentBytes(smallSegment)}, options...)
	b.open(t)
	return b
}

// check is a test of a spool.
type check func(t *testing.T, b *bundle)

// onBoth runs a test over a directory of the machine and over a disk in memory.
func onBoth(t *testing.T, test check, options ...spool.Option) {
	t.Helper()
	t.Run("directory", func(t *testing.T) { test(t, inDirectory(t, options...)) })
	t.Run("disk", func(t *testing.T) { test(t, onDisk(t, spooltest.NewDisk(), options...)) })
}

func (b *bundle) mustAppend(t *testing.T, terminal uint64, events ...audit.Event) uint64 {
	t.Helper()
	first, err := b.Append(events, terminal)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return first
}

func (b *bundle) mustRelease(t *testing.T, upTo uint64) {
	t.Helper()
	if err := b.Release(upTo); err != nil {
		t.Fatalf("release: %v", err)
	}
}

// all reads everything, in pieces.
func (b *bundle) all(t *testing.T) (kept []audit.SpooledEvent, damaged int) {
	t.Helper()
	for from := uint64(1); ; {
		some, lost, err := b.Read(from, 7, 1<<20)
		if err != nil {
			t.Fatalf("read from %d: %v", from, err)
		}
		damaged += lost
		if len(some) == 0 {
			return kept, damaged
		}
		kept = append(kept, some...)
		from = some[len(some)-1].Position + 1
	}
}

func (b *bundle) numbers(t *testing.T) []int {
	t.Helper()
	kept, damaged := b.all(t)
	if damaged != 0 {
		t.Fatalf("%d events damaged", damaged)
	}
	numbers := make([]int, 0, len(kept))
	for i := range kept {
		numbers = append(numbers, numberOf(&kept[i].Event))
	}
	return numbers
}

func (b *bundle) wantNumbers(t *testing.T, from, to int) {
	t.Helper()
	want := []int{}
	for number := from; number <= to; number++ {
		want = append(want, number)
	}
	if got := b.numbers(t); !slices.Equal(got, want) {
		t.Fatalf("got events %v, want %d to %d", got, from, to)
	}
}
