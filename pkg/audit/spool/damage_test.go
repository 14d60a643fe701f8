package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// segments gives the paths of the segment files, oldest first.
func (b *bundle) segments(t *testing.T) []string {
	t.Helper()
	entries, err := b.disk.List(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name, ".wal") {
			names = append(names, b.dir+"/"+entry.Name)
		}
	}
	return names
}

// damaged makes a spool with groups of events, closes it, changes a segment and opens it again.
func damaged(t *testing.T, groups, perGroup, segment int, damage func(contents []byte) []byte) *bundle {
	t.Helper()
	b := onDisk(t, spooltest.NewDisk())
	for group := range groups {
		b.mustAppend(t, 0, batchOf(1+group*perGroup, perGroup)...)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	names := b.segments(t)
	if err := b.disk.Corrupt(names[segment], damage); err != nil {
		t.Fatal(err)
	}
	b.open(t)
	return b
}

// frameOf finds the frame of an event in a segment.
func frameOf(t *testing.T, contents []byte, number int) (frame, payload, end int) {
	t.Helper()
	event := numbered(number)
	at := bytes.Index(contents, event.Data)
	if at < 0 {
		t.Fatalf("event %d is not in the segment", number)
	}
	for frame = at - at%8; ; frame -= 8 {
		length := int(binary.LittleEndian.Uint32(contents[frame+4:]))
		if contents[frame] == 1 && contents[frame+1] == 0 && frame+8+length > at && length < 1000 {
			return frame, frame + 8, frame + 8 + length
		}
	}
}

func TestTornTailIsLeftOut(t *testing.T) {
	for cut := range 300 {
		b := damaged(t, 2, 2, 0, func(contents []byte) []byte {
			used := len(bytes.TrimRight(contents, "\x00"))
			return contents[:used-cut]
		})
		numbers := b.numbers(t)
		if len(numbers) < 2 || !slices.Equal(numbers, []int{1, 2, 3, 4}[:len(numbers)]) {
			t.Fatalf("%d bytes cut: %v", cut, numbers)
		}
		if damage := b.State().Damage; damage.Events != 0 {
			t.Fatalf("%d bytes cut: %+v", cut, damage)
		}
		if first := b.mustAppend(t, 0, numbered(9)); first <= uint64(len(numbers)) {
			t.Fatalf("%d bytes cut: position %d was used before", cut, first)
		}
	}
}

func TestCorruptTailIsCounted(t *testing.T) {
	b := damaged(t, 3, 2, 0, func(contents []byte) []byte {
		_, payload, end := frameOf(t, contents, 5)
		clear(contents[payload+20 : end-20])
		_, payload, end = frameOf(t, contents, 6)
		clear(contents[payload+20 : end-20])
		return contents
	})
	b.wantNumbers(t, 1, 4)
	damage := b.State().Damage
	if damage.Bytes == 0 || damage.Events != 0 || !strings.Contains(damage.Detail, ".wal") {
		t.Fatalf("damage: %+v", damage)
	}
}

func TestCorruptMiddleCostsOneEvent(t *testing.T) {
	for name, damage := range map[string]func(contents []byte, frame, payload, end int){
		"contents": func(contents []byte, _, payload, _ int) { contents[payload+50] ^= 1 },
		"type":     func(contents []byte, frame, _, _ int) { contents[frame] = 9 },
		"length":   func(contents []byte, frame, _, _ int) { contents[frame+4] ^= 0x10 },
		"huge":     func(contents []byte, frame, _, _ int) { contents[frame+7] = 0xff },
		"zeros":    func(contents []byte, frame, _, end int) { clear(contents[frame:end]) },
		"noise": func(contents []byte, frame, _, end int) {
			for i := frame; i < end; i++ {
				contents[i] = byte(i * 31)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := damaged(t, 10, 5, 0, func(contents []byte) []byte {
				frame, payload, end := frameOf(t, contents, 3)
				damage(contents, frame, payload, end)
				return contents
			})
			numbers := b.numbers(t)
			if len(numbers) != 49 || slices.Contains(numbers, 3) {
				t.Fatalf("got %v", numbers)
			}
			if damage := b.State().Damage; damage.Events != 1 || !strings.Contains(damage.Detail, "1 events lost") {
				t.Fatalf("damage: %+v", damage)
			}
			if state := b.State(); state.Events != 49 || state.Last != 50 {
				t.Fatalf("state: %+v", state)
			}
		})
	}
}

// TestTornGroupIsNoLossLaterOn opens a log twice after a crash tore its newest
// group: what was never confirmed must not be called lost by the second process.
func TestTornGroupIsNoLossLaterOn(t *testing.T) {
	b := damaged(t, 2, 3, 0, func(contents []byte) []byte {
		_, payload, _ := frameOf(t, contents, 5)
		contents[payload+50] ^= 1
		return contents
	})
	if damage := b.State().Damage; damage.Events != 0 || damage.Bytes == 0 {
		t.Fatalf("first process: %+v", damage)
	}
	b.mustAppend(t, 0, numbered(7))
	b.reopen(t)
	if damage := b.State().Damage; damage.Events != 0 {
		t.Fatalf("second process: %+v", damage)
	}
	if numbers := b.numbers(t); !slices.Equal(numbers, []int{1, 2, 3, 4, 6, 7}) {
		t.Fatalf("got %v", numbers)
	}
}

// TestConfirmedGroupThatRotsLaterIsLost: recovery found the group whole, so what
// is missing from it afterwards is no partial write.
func TestConfirmedGroupThatRotsLaterIsLost(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 3)...)
	b.crash(t)
	b.mustAppend(t, 0, numbered(4))
	b.rot(t, 2)
	b.crash(t)
	if damage := b.State().Damage; damage.Events != 1 {
		t.Fatalf("damage: %+v", damage)
	}
}

// TestLossInTheNewestGroupOfASegmentIsKnown: the process went on in another segment,
// so the group was confirmed.
func TestLossInTheNewestGroupOfASegmentIsKnown(t *testing.T) {
	b := damaged(t, 2, 14, 0, func(contents []byte) []byte {
		_, payload, _ := frameOf(t, contents, 5)
		contents[payload+50] ^= 1
		return contents
	})
	if damage := b.State().Damage; len(b.segments(t)) != 2 || damage.Events != 1 {
		t.Fatalf("%d segments, damage: %+v", len(b.segments(t)), damage)
	}
}

func TestDamagedCommitCostsNothing(t *testing.T) {
	b := damaged(t, 3, 5, 0, func(contents []byte) []byte {
		_, _, end := frameOf(t, contents, 10)
		contents[end+(8-end%8)%8] = 0xff
		return contents
	})
	b.wantNumbers(t, 1, 15)
}

func TestLostSegmentIsCounted(t *testing.T) {
	b := damaged(t, 10, 5, 1, func([]byte) []byte { return nil })
	kept, _ := b.all(t)
	if damage := b.State().Damage; damage.Events != 50-len(kept) || damage.Events == 0 {
		t.Fatalf("%d kept, damage %+v", len(kept), damage)
	}
}

func TestDamageOfSettledEventsIsNone(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 3)...)
	b.mustAppend(t, 3, batchOf(4, 3)...)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.disk.Corrupt(b.segments(t)[0], func(contents []byte) []byte {
		_, payload, _ := frameOf(t, contents, 2)
		contents[payload+50] ^= 1
		return contents
	}); err != nil {
		t.Fatal(err)
	}
	b.open(t)
	b.wantNumbers(t, 4, 6)
	if damage := b.State().Damage; damage.Events != 0 {
		t.Fatalf("damage: %+v", damage)
	}
}

func TestDamageAfterOpenIsFoundByRead(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 10)...)
	b.reopen(t)
	if err := b.disk.Corrupt(b.segments(t)[0], func(contents []byte) []byte {
		_, payload, _ := frameOf(t, contents, 4)
		contents[payload+50] ^= 1
		return contents
	}); err != nil {
		t.Fatal(err)
	}
	kept, lost := b.all(t)
	if len(kept) != 9 || lost != 1 || b.State().Events != 9 {
		t.Fatalf("%d kept, %d lost, %+v", len(kept), lost, b.State())
	}
	if _, lost := b.all(t); lost != 0 {
		t.Fatalf("counted again: %d", lost)
	}
}

func TestReadFailureLosesNothing(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 10)...)
	b.disk.FailNext(spooltest.Read, false)
	if _, _, err := b.Read(1, 10, 1<<20); !errors.Is(err, spooltest.ErrFailed) {
		t.Fatalf("got %v", err)
	}
	b.wantNumbers(t, 1, 10)
}

// TestDamageIsCountedBesideAFailure: the events of one segment are gone, and the
// next segment cannot be read for now.
func TestDamageIsCountedBesideAFailure(t *testing.T) {
	b, disk, events := unreadable(t, 1, 0, 0)
	b.wantNumbers(t, 1, events)
	first := b.segments(t)[0]
	if err := b.disk.Corrupt(first, func(contents []byte) []byte {
		clear(contents[40:])
		return contents
	}); err != nil {
		t.Fatal(err)
	}
	disk.to = 1 << 40
	kept, lost, err := b.Read(1, events, 1<<30)
	if !errors.Is(err, errSector) || len(kept) != 0 || lost == 0 {
		t.Fatalf("%d kept, %d lost: %v", len(kept), lost, err)
	}
	disk.to = 0
	kept, again, err := b.Read(1, events, 1<<30)
	if err != nil || again != 0 || len(kept) != events-lost {
		t.Fatalf("%d kept, %d lost as well: %v", len(kept), again, err)
	}
}

// TestEveryBitFlip changes each bit of a small log, one at a time.
func TestEveryBitFlip(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 2)...)
	b.mustAppend(t, 1, batchOf(3, 2)...)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	name := b.segments(t)[0]
	sound, err := b.disk.Contents(name)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(sound) {
		contents := slices.Clone(sound)
		contents[bit/8] ^= 1 << (bit % 8)
		disk := spooltest.NewDisk()
		disk.Put(name, contents)
		checkOpens(t, disk, bit)
	}
}

// checkOpens wants at most one of the events 1 to 4 to be missing, and said so;
// event 1 comes back if the damage took what says that it is terminal.
func checkOpens(t *testing.T, disk *spooltest.Disk, bit int) {
	t.Helper()
	s, err := spool.Open("/spool", spool.WithFiles(disk), spool.WithSegmentBytes(smallSegment))
	if err != nil {
		t.Fatalf("bit %d: %v", bit, err)
	}
	kept, damaged, err := s.Read(1, 100, 1<<20)
	if err != nil || damaged != 0 || len(kept) < 2 || len(kept) > 3 {
		t.Fatalf("bit %d: %d kept, %d damaged: %v", bit, len(kept), damaged, err)
	}
	want := map[int]audit.Event{}
	for number := 1; number <= 4; number++ {
		want[number] = numbered(number)
	}
	for i := range kept {
		number := numberOf(&kept[i].Event)
		if event := want[number]; string(event.Data) != string(kept[i].Event.Data) || kept[i].Position != uint64(number) {
			t.Fatalf("bit %d: invented %+v", bit, kept[i])
		}
	}
	damage := s.State().Damage
	if len(kept) == 2 && damage == (audit.SpoolDamage{}) {
		t.Fatalf("bit %d: a missing event was not noticed", bit)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzOpen(f *testing.F) {
	disk := spooltest.NewDisk()
	s, err := spool.Open("/spool", spool.WithFiles(disk), spool.WithSegmentBytes(smallSegment))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := s.Append(batchOf(1, 3), 0); err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	const name = "/spool/00000000000000000001-0000000000000001.wal"
	contents, err := disk.Contents(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(contents, 0)
	f.Add(contents[:100], 7)
	f.Fuzz(func(t *testing.T, contents []byte, shift int) {
		disk := spooltest.NewDisk()
		disk.Put(name, contents)
		disk.Put("/spool/00000000000000000002-0000000000000002.wal", contents[min(max(shift, 0), len(contents)):])
		s, err := spool.Open("/spool", spool.WithFiles(disk), spool.WithSegmentBytes(smallSegment))
		if err != nil {
			return
		}
		kept, _, err := s.Read(1, 1000, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if state := s.State(); state.Events != len(kept) {
			t.Fatalf("%d events read, %+v", len(kept), state)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
