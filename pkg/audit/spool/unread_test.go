package spool_test

import (
	"errors"
	"strings"
	"testing"

	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

var errSector = errors.New("sector is unreadable")

// badSectors is a disk of which some stretches of a file cannot be read.
type badSectors struct {
	*spooltest.Disk

	name     string
	from, to int64
}

func (d *badSectors) Open(path string) (spool.File, error) {
	file, err := d.Disk.Open(path)
	if err != nil || path != d.name {
		return file, err
	}
	return &badFile{file, d}, nil
}

type badFile struct {
	spool.File

	on *badSectors
}

func (f *badFile) ReadAt(p []byte, at int64) (int, error) {
	if at < f.on.to && at+int64(len(p)) > f.on.from {
		return 0, errSector
	}
	return f.File.ReadAt(p, at)
}

// unreadable makes a spool of three segments of 16 KiB, and opens it on a disk
// that cannot read a stretch of one of them.
func unreadable(t *testing.T, segment int, from, to int64) (*bundle, *badSectors, int) {
	t.Helper()
	b := onDisk(t, spooltest.NewDisk(), spool.WithSegmentBytes(16<<10))
	events := 0
	for len(b.segments(t)) < 3 {
		b.mustAppend(t, 0, numbered(events+1))
		events++
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	disk := &badSectors{b.disk, b.segments(t)[segment], from, to}
	b.options = append(b.options, spool.WithFiles(disk))
	b.open(t)
	return b, disk, events
}

func TestUnreadableSectorCostsTheEventsInIt(t *testing.T) {
	b, disk, events := unreadable(t, 1, 5000, 5512)
	kept, _ := b.all(t)
	damage := b.State().Damage
	if lost := events - len(kept); lost == 0 || lost > 30 || damage.Events != lost || damage.Bytes < 4096 || damage.Bytes > 5000 {
		t.Fatalf("%d events of %d, damage %+v", len(kept), events, damage)
	}
	if !strings.Contains(damage.Detail, errSector.Error()) {
		t.Errorf("detail: %s", damage.Detail)
	}

	// It is read the next time, unless everything in it is terminal.
	b.mustQuarantine(t, report(1))
	disk.to = 0
	b.reopen(t)
	b.wantNumbers(t, 1, events)
}

func TestUnreadableSegmentIsCountedAndSetAside(t *testing.T) {
	b, disk, events := unreadable(t, 1, 0, 1<<40)
	kept, _ := b.all(t)
	if damage := b.State().Damage; damage.Events != events-len(kept) || damage.Events == 0 {
		t.Fatalf("%d events of %d, damage %+v", len(kept), events, damage)
	}
	b.mustRelease(t, uint64(events))
	b.reopen(t)
	contents, err := disk.Contents(disk.name + ".damaged")
	if err != nil || len(contents) == 0 {
		t.Fatalf("%d bytes (%v) in\n%v", len(contents), err, disk)
	}
	if state := b.State(); state.Events != 0 || state.Bytes != int64(len(contents)) {
		t.Errorf("state: %+v", state)
	}
}

// TestRoomOfWhatWasSetAsideIsUsedAgain: it must not fill the spool forever.
func TestRoomOfWhatWasSetAsideIsUsedAgain(t *testing.T) {
	b, disk, events := unreadable(t, 1, 0, 1<<40)
	b.mustRelease(t, uint64(events))
	b.options = append(b.options, spool.WithMaxBytes(32<<10))
	b.reopen(t)
	for i := range 100 {
		b.mustAppend(t, 0, numbered(events+1+i))
	}
	if _, err := disk.Contents(disk.name + ".damaged"); err == nil {
		t.Error("is there still")
	}
}

// TestPositionsOfAnUnreadableTailAreNotUsedAgain: whatever is in the newest
// segment comes back when it can be read again.
func TestPositionsOfAnUnreadableTailAreNotUsedAgain(t *testing.T) {
	b, disk, events := unreadable(t, 2, 0, 1<<40)
	kept, _ := b.all(t)
	if damage := b.State().Damage; damage.Events != 0 || damage.Bytes == 0 || len(kept) != events-1 {
		t.Fatalf("%d events of %d, damage %+v", len(kept), events, damage)
	}
	if first := b.mustAppend(t, 0, numbered(events+1)); first <= uint64(events) {
		t.Fatalf("position %d was used before", first)
	}
	disk.to = 0
	b.reopen(t)
	b.wantNumbers(t, 1, events+1)
	if damage := b.State().Damage; damage.Events != 0 {
		t.Errorf("damage: %+v", damage)
	}
}

func TestFailedReadAtOpenCostsNothing(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 5)...)
	b.disk.Crash()
	b.disk.FailNext(spooltest.Read, false)
	b.open(t)
	b.wantNumbers(t, 1, 5)
}
