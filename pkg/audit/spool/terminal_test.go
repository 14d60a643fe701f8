package spool_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// rejectedAt makes a rejected event that is in the log.
func rejectedAt(number int, position uint64) []audit.Quarantined {
	list := rejected(number)
	list[0].Position = position
	return list
}

func (b *bundle) mustQuarantine(t *testing.T, list []audit.Quarantined) {
	t.Helper()
	if err := b.Quarantine(list); err != nil {
		t.Fatalf("quarantine: %v", err)
	}
}

// wantExactly wants some events in the log.
func (b *bundle) wantExactly(t *testing.T, want ...int) {
	t.Helper()
	if got := b.numbers(t); !slices.Equal(got, want) {
		t.Fatalf("got events %v, want %v", got, want)
	}
}

// wantRejected wants some events in quarantine, by their numbers.
func (b *bundle) wantRejected(t *testing.T, want ...int) {
	t.Helper()
	list, err := b.Quarantined()
	if err != nil {
		t.Fatal(err)
	}
	got := make([]int, 0, len(list))
	for i := range list {
		got = append(got, numberOf(list[i].Event))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got rejected events %v, want %v", got, want)
	}
}

// The oldest event is pending all the time, so that no mark in the log says what is terminal.
func TestRejectedEventDoesNotComeBack(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 3)...)
	b.mustQuarantine(t, rejectedAt(2, 2))
	b.crash(t)
	b.wantExactly(t, 1, 3)
	b.wantRejected(t, 2)
	if state := b.State(); state.Events != 2 || state.Damage != (audit.SpoolDamage{}) {
		t.Errorf("state: %+v", state)
	}

	b.mustDiscard(t, 2)
	for range 3 {
		b.crash(t)
		b.wantExactly(t, 1, 3)
		b.wantRejected(t)
	}
}

func TestRejectionOfEverythingLeavesNothing(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, numbered(1))
	b.mustQuarantine(t, rejectedAt(1, 1))
	b.mustDiscard(t, 1)
	b.crash(t)
	b.wantExactly(t)
	if first := b.mustAppend(t, 0, numbered(2)); first != 2 {
		t.Errorf("position %d", first)
	}
}

// TestRetriedEventComesBack: the same event was accepted again before it left the quarantine.
func TestRetriedEventComesBack(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 2)...)
	b.mustQuarantine(t, rejectedAt(2, 2))
	b.mustAppend(t, 0, numbered(2)) // at 3
	b.mustDiscard(t, 2)
	b.crash(t)
	b.wantExactly(t, 1, 2)

	b.mustQuarantine(t, rejectedAt(2, 3))
	b.mustAppend(t, 0, numbered(2))       // at 4
	b.mustQuarantine(t, rejectedAt(2, 4)) // again, while it is in quarantine still
	b.crash(t)
	b.wantExactly(t, 1)
	b.wantRejected(t, 2)
}

func TestRejectionOfNothingInTheLogIsRefused(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 2)...)
	if err := b.Quarantine(rejectedAt(3, 3)); err == nil {
		t.Fatal("a position that the next event will have is terminal")
	}
}

func TestPositionsGoOnWithoutTheirLog(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 5)...)
	b.mustQuarantine(t, rejectedAt(4, 4))
	b.disk.Crash()
	for _, name := range b.segments(t) {
		if err := b.disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	b.open(t)
	if first := b.mustAppend(t, 0, numbered(9)); first != 5 {
		t.Errorf("position %d, where a rejected event has 4", first)
	}
	b.crash(t)
	b.wantExactly(t, 9)
}

// TestNotesAreBounded acknowledges far more than a note file holds.
func TestNotesAreBounded(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	for number := 1; number <= 3000; number++ {
		position := b.mustAppend(t, uint64(number-1), numbered(number))
		b.mustQuarantine(t, rejectedAt(number, position))
		b.mustDiscard(t, number)
		b.mustRelease(t, position)
	}
	notes, err := b.disk.Contents("/spool/quarantine/notes.txt")
	if lines := bytes.Count(notes, []byte("\n")); err != nil || lines > 1100 {
		t.Errorf("%d lines (%v)", lines, err)
	}
	b.crash(t)
	b.wantExactly(t)
	b.wantRejected(t)
}

// TestDamagedNotesSettleNothingElse changes every byte of the notes.
func TestDamagedNotesSettleNothingElse(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 30)...)
	b.mustQuarantine(t, rejectedAt(12, 12))
	b.mustDiscard(t, 12)
	const name = "/spool/quarantine/notes.txt"
	sound, err := b.disk.Contents(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := range sound {
		if err := b.disk.Corrupt(name, func([]byte) []byte {
			contents := slices.Clone(sound)
			contents[at] ^= 1
			return contents
		}); err != nil {
			t.Fatal(err)
		}
		b.crash(t)
		if got := len(b.numbers(t)); got != 30 {
			t.Fatalf("byte %d: %d events", at, got)
		}
		if damage := b.State().Damage; damage.Bytes == 0 || !strings.Contains(damage.Detail, "notes.txt") {
			t.Fatalf("byte %d: damage %+v", at, damage)
		}
	}
}

// report is what a store makes of damage.
func report(number int) []audit.Quarantined {
	list := rejected(number)
	list[0].Code, list[0].Event = "damaged", nil
	return list
}

func TestReportedDamageIsNotCountedAgain(t *testing.T) {
	b := onDisk(t, spooltest.NewDisk())
	b.mustAppend(t, 0, batchOf(1, 50)...)
	b.mustAppend(t, 0, numbered(51)) // so that the others were confirmed
	b.rot(t, 3)
	b.rot(t, 4)
	for range 2 { // until it is reported
		b.crash(t)
		if damage := b.State().Damage; damage.Events != 2 {
			t.Fatalf("damage: %+v", damage)
		}
		b.mustAppend(t, 0, numbered(52))
	}
	b.mustQuarantine(t, report(1))
	b.crash(t)
	if damage := b.State().Damage; damage != (audit.SpoolDamage{}) {
		t.Fatalf("reported, and counted again: %+v", damage)
	}
	b.mustDiscard(t, 1)
	b.rot(t, 7)
	b.crash(t)
	if damage := b.State().Damage; damage.Events != 1 {
		t.Fatalf("acknowledged, and one more lost: %+v", damage)
	}
}

// rot changes a byte of an event in a segment.
func (b *bundle) rot(t *testing.T, number int) {
	t.Helper()
	event := numbered(number)
	for _, name := range b.segments(t) {
		contents, err := b.disk.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(contents, event.Data) {
			continue
		}
		if err := b.disk.Corrupt(name, func(contents []byte) []byte {
			_, payload, _ := frameOf(t, contents, number)
			contents[payload+50] ^= 1
			return contents
		}); err != nil {
			t.Fatal(err)
		}
	}
}
