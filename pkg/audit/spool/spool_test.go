package spool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

func TestKeepsEventsInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for group := range 10 {
			if first := b.mustAppend(t, 0, batchOf(1+group*5, 5)...); first != uint64(1+group*5) {
				t.Fatalf("group %d is at %d", group, first)
			}
		}
		b.wantNumbers(t, 1, 50)
		b.reopen(t)
		b.wantNumbers(t, 1, 50)
		if first := b.mustAppend(t, 0, numbered(51)); first < 51 {
			t.Fatalf("position %d was used before", first)
		}
		b.wantNumbers(t, 1, 51)
	})
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		want := complete(t)
		b.mustAppend(t, 0, want)
		check := func(t *testing.T) {
			t.Helper()
			kept, _, err := b.Read(1, 10, 1<<20)
			if err != nil || len(kept) != 1 || !reflect.DeepEqual(kept[0].Event, want) {
				t.Fatalf("got %+v (%v), want %+v", kept, err, want)
			}
		}
		check(t)
		b.reopen(t)
		check(t)
	})
}

func TestStateCountsWhatIsOwed(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		if state := b.State(); state.First != 1 || state.Last != 0 || state.Events != 0 || state.Bytes != 0 || state.MaxBytes != spool.DefaultMaxBytes {
			t.Fatalf("new: %+v", state)
		}
		events := batchOf(1, 30)
		bytes := 0
		for i := range events {
			bytes += events[i].Footprint()
		}
		b.mustAppend(t, 0, events...)
		if state := b.State(); state.First != 1 || state.Last != 30 || state.Events != 30 || state.EventBytes != bytes || state.Bytes < 30*100 {
			t.Fatalf("appended: %+v", state)
		}
		b.mustRelease(t, 10)
		rest := b.State()
		if rest.First != 11 || rest.Last != 30 || rest.Events != 20 || rest.EventBytes >= bytes {
			t.Fatalf("released: %+v", rest)
		}
		b.reopen(t)
		if state := b.State(); state.First != 11 || state.Last != 30 || state.Events != 20 || state.EventBytes != rest.EventBytes {
			t.Fatalf("opened again: %+v", state)
		}
		b.wantNumbers(t, 11, 30)
		b.mustRelease(t, 1000)
		if state := b.State(); state.Events != 0 || state.EventBytes != 0 || state.First != state.Last+1 {
			t.Fatalf("all released: %+v", state)
		}
	})
}

func TestReadIsBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.mustAppend(t, 0, batchOf(1, 20)...)
		one := numbered(1)
		for _, c := range []struct{ from, events, bytes, want int }{
			{1, 3, 1 << 20, 3},
			{1, 100, 1 << 20, 20},
			{19, 100, 1 << 20, 2},
			{1, 100, 2 * one.Footprint(), 2},
			{1, 100, 1, 1}, // at least one
			{1, 0, 0, 1},
			{21, 100, 1 << 20, 0},
		} {
			kept, _, err := b.Read(uint64(c.from), c.events, c.bytes)
			if err != nil || len(kept) != c.want {
				t.Errorf("read(%d, %d, %d): %d events (%v), want %d", c.from, c.events, c.bytes, len(kept), err, c.want)
			}
		}
	})
}

func TestReleaseGivesRoomBack(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for i := range 100 {
			b.mustAppend(t, 0, numbered(i+1))
		}
		before := b.State().Bytes
		b.mustRelease(t, 90)
		if after := b.State().Bytes; after > before/2 {
			t.Fatalf("%d bytes of %d are left", after, before)
		}
		b.wantNumbers(t, 91, 100)
	})
}

func TestSettledIsRememberedWithTheEvents(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 5)...)
	b.mustAppend(t, 3, batchOf(6, 5)...)
	b.crash(t)
	b.wantNumbers(t, 4, 10)
}

func TestClosedEmptySpoolIsEmptyAndGoesOnCounting(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.mustAppend(t, 0, batchOf(1, 40)...)
		b.mustRelease(t, 40)
		for range 3 {
			b.reopen(t)
			state := b.State()
			if state.Events != 0 || state.Bytes != 0 || state.First != 41 || state.Last != 40 {
				t.Fatalf("opened again: %+v", state)
			}
		}
		if first := b.mustAppend(t, 0, numbered(41)); first != 41 {
			t.Fatalf("position %d", first)
		}
	})
}

func TestManyShortLivesTakeLittleRoom(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for i := range 50 {
			b.mustAppend(t, 0, numbered(i+1))
			b.reopen(t)
		}
		b.wantNumbers(t, 1, 50)
		if bytes := b.State().Bytes; bytes > 50*600 {
			t.Fatalf("%d bytes for 50 events", bytes)
		}
	})
}

func TestFullSpoolHarmsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		kept := 0
		var err error
		for err == nil && kept < 1000 {
			if _, err = b.Append(batchOf(kept+1, 3), 0); err == nil {
				kept += 3
			}
		}
		if !errors.Is(err, audit.ErrFull) {
			t.Fatalf("got %v", err)
		}
		if state := b.State(); state.Bytes > state.MaxBytes || state.MaxBytes != 4*smallSegment {
			t.Fatalf("beyond its bound: %+v", state)
		}
		b.wantNumbers(t, 1, kept)
		b.mustRelease(t, uint64(kept))
		b.mustAppend(t, uint64(kept), batchOf(kept+1, 3)...)
		b.reopen(t)
		b.wantNumbers(t, kept+1, kept+3)
	}, spool.WithMaxBytes(4*smallSegment))
}

func TestGroupLargerThanASegment(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.mustAppend(t, 0, batchOf(1, 100)...)
		b.mustAppend(t, 0, batchOf(101, 1)...)
		b.reopen(t)
		b.wantNumbers(t, 1, 101)
	})
}

func TestRoomOfSettledEventsIsUsedAgainByALargeGroup(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk(), spool.WithMaxBytes(2*smallSegment))
	b.mustAppend(t, 0, numbered(1))
	b.mustRelease(t, 1)
	b.mustAppend(t, 1, batchOf(2, 20)...) // takes more than a segment
	b.wantNumbers(t, 2, 21)
}

// TestRoomThatCouldNotBeTakenIsTakenLater: the segment that was begun for a large
// group failed half-way, and left nothing that is in the way.
func TestRoomThatCouldNotBeTakenIsTakenLater(t *testing.T) {
	for _, fail := range [][]spooltest.Operation{{spooltest.Create}, {spooltest.SyncDir}, {spooltest.SyncDir, spooltest.Remove}} {
		for _, afterEffect := range []bool{false, true} {
			b := onDisk(t, spooltest.NewDisk(), spool.WithMaxBytes(2*smallSegment))
			b.mustAppend(t, 0, numbered(1))
			b.mustRelease(t, 1)
			for _, operation := range fail {
				b.disk.FailNext(operation, afterEffect)
			}
			if _, err := b.Append(batchOf(2, 20), 1); !errors.Is(err, spooltest.ErrFailed) {
				t.Fatalf("%v: got %v", fail, err)
			}
			b.mustAppend(t, 1, batchOf(2, 20)...)
			b.wantNumbers(t, 2, 21)
		}
	}
}

// fullAt is a disk that is found full by a write, or by a sync that did its work.
type fullAt struct {
	*spooltest.Disk

	write, sync bool
}

func (f *fullAt) Create(path string, size int64) (spool.File, error) {
	file, err := f.Disk.Create(path, size)
	return &fullFile{file, f}, err
}

type fullFile struct {
	spool.File

	on *fullAt
}

func (f *fullFile) WriteAt(p []byte, at int64) (int, error) {
	if f.on.write {
		n, _ := f.File.WriteAt(p[:len(p)/2], at)
		return n, syscall.ENOSPC
	}
	return f.File.WriteAt(p, at)
}

func (f *fullFile) Sync() error {
	if err := f.File.Sync(); err != nil {
		return err
	}
	if f.on.sync {
		return syscall.ENOSPC
	}
	return nil
}

// TestFullAfterAWriteIsInDoubt: ErrFull says that nothing comes back, which
// nobody can say here.
func TestFullAfterAWriteIsInDoubt(t *testing.T) {
	for _, disk := range []*fullAt{{write: true}, {sync: true}} {
		disk.Disk = spooltest.NewDisk()
		b := onDisk(t, disk.Disk, spool.WithFiles(disk))
		_, err := b.Append(batchOf(1, 2), 0)
		if !errors.Is(err, audit.ErrInDoubt) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, audit.ErrFull) {
			t.Errorf("%+v: got %v", disk, err)
		}
	}
}

func TestDistantSegmentIsRefused(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 3)...)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, base := range []uint64{1 << 40, 1<<60 - 1, 1 << 61, 1<<64 - 1} {
		name := fmt.Sprintf("%020d-%016x.wal", base, 9)
		b.disk.Put(b.dir+"/"+name, nil)
		if _, err := spool.Open(b.dir, b.options...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v", err)
		}
		if err := b.disk.Remove(b.dir + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	b.disk.Put(fmt.Sprintf("%s/%020d-%016x.wal", b.dir, 1<<31, 9), nil)
	b.open(t) // and ends, although so many are lost
	b.wantNumbers(t, 1, 3)
	b.mustRelease(t, 1<<31+1)
}

func TestFullDiskIsSaidWithTheDirectory(t *testing.T) {
	disk := spooltest.NewDisk(spooltest.WithCapacity(3*smallSegment + 100))
	b := onDisk(t, disk)
	kept := 0
	var err error
	for err == nil && kept < 1000 {
		if _, err = b.Append(batchOf(kept+1, 3), 0); err == nil {
			kept += 3
		}
	}
	if !errors.Is(err, audit.ErrFull) || !strings.Contains(err.Error(), b.dir) {
		t.Fatalf("got %v", err)
	}
	b.crash(t)
	b.wantNumbers(t, 1, kept)
	disk.SetCapacity(0)
	b.mustAppend(t, 0, numbered(kept+1))
	b.wantNumbers(t, 1, kept+1)
}

func TestDirectoryInUse(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		_, err := spool.Open(b.dir, b.options...)
		if !errors.Is(err, spool.ErrInUse) || !strings.Contains(err.Error(), b.dir) {
			t.Fatalf("got %v", err)
		}
		b.reopen(t) // and given back by Close
	})
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letters.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(dir); err == nil || !strings.Contains(err.Error(), "letters.txt") {
		t.Fatalf("got %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Fatalf("left something in it: %v", entries)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	b := inDirectory(t)
	b.mustAppend(t, 0, numbered(1))
	if err := b.Quarantine(rejected(1)); err != nil {
		t.Fatal(err)
	}
	err := filepath.Walk(b.dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCloseGivesEverythingBack(t *testing.T) {
	disk := spooltest.NewDisk()
	b := onDisk(t, disk)
	for i := range 30 {
		b.mustAppend(t, uint64(i/2), numbered(i+1))
		b.mustRelease(t, uint64(i/2))
		b.all(t)
	}
	if err := b.Quarantine(rejected(1, 2)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := disk.OpenFiles(); n != 0 {
		t.Fatalf("%d files are open", n)
	}
	if _, err := b.Append(batchOf(1, 1), 0); err == nil {
		t.Error("append after Close")
	}
	if _, _, err := b.Read(1, 1, 1); err == nil {
		t.Error("read after Close")
	}
	if err := b.Release(1); err == nil {
		t.Error("release after Close")
	}
}

func TestInvalidOptions(t *testing.T) {
	for name, option := range map[string]spool.Option{
		"no room":              spool.WithMaxBytes(0),
		"one segment":          spool.WithMaxBytes(spool.DefaultSegmentBytes),
		"tiny segments":        spool.WithSegmentBytes(1),
		"huge segments":        spool.WithSegmentBytes(1 << 40),
		"no files":             spool.WithFiles(nil),
		"no quarantine events": spool.WithQuarantine(0, 1),
		"no quarantine bytes":  spool.WithQuarantine(1, 0),
	} {
		if s, err := spool.Open(t.TempDir(), option); err == nil {
			_ = s.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}
