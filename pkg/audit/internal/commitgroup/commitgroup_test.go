package commitgroup_test

import (
	"slices"
	"testing"

	"kubernaut.ai/pkg/audit/internal/commitgroup"
)

func is(want string) func(string) bool { return func(got string) bool { return got == want } }

func TestEventsJoinTheNextGroupWhileOneIsWritten(t *testing.T) {
	t.Parallel()
	var c commitgroup.Committer[string]
	if c.Take() != nil {
		t.Fatal("a group without events")
	}
	first := c.Join("a", 1)
	if c.Join("b", 1) != first {
		t.Error("two events that come before the write are in two groups")
	}
	if got := c.Take(); got != first || !slices.Equal(got.Entries, []string{"a", "b"}) {
		t.Errorf("took %+v", got)
	}
	if c.Join("c", 1) == first {
		t.Error("an event joined a group that is being written")
	}
}

func TestAnEventLeavesUntilItsGroupIsWritten(t *testing.T) {
	t.Parallel()
	var c commitgroup.Committer[string]
	g := c.Join("a", 1)
	c.Join("b", 1)
	if !c.Leave(g, 1, is("a")) {
		t.Error("cannot leave a group that nobody writes")
	}
	if got := c.Take(); !slices.Equal(got.Entries, []string{"b"}) {
		t.Errorf("writes %v, want b alone", got.Entries)
	}
	if c.Leave(g, 1, is("b")) {
		t.Error("left a group that is being written")
	}
	g = c.Join("c", 1)
	c.Leave(g, 1, is("c"))
	if c.Take() != nil {
		t.Error("a group that everyone left is written")
	}
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	const size = commitgroup.MaxBytes
	var c commitgroup.Committer[string]
	if !c.Fits(size + 1) {
		t.Error("an event that is too large for any group does not fit alone")
	}
	g := c.Join("a", size-10)
	for more, want := range map[int]bool{10: true, 11: false} {
		if got := c.Fits(more); got != want {
			t.Errorf("%d more bytes fit: %v, want %v", more, got, want)
		}
	}
	wait := c.Capacity().Join()
	c.Leave(g, size-10, is("a"))
	select {
	case <-wait:
	default:
		t.Error("nobody was told of the room that an event left")
	}
	c.Join("b", size)
	c.Take()
	if c.Fits(1) {
		t.Error("an event fits before the write of the others has ended")
	}
	c.Confirm(size)
	if !c.Fits(1) {
		t.Error("an event does not fit after the write")
	}
}

func TestReleases(t *testing.T) {
	t.Parallel()
	var c commitgroup.Committer[string]
	for _, step := range []struct {
		upTo uint64
		want bool
	}{{0, false}, {3, true}, {3, false}, {2, false}, {4, true}} {
		if got := c.NextRelease(step.upTo); got != step.want {
			t.Errorf("release up to %d: %v, want %v", step.upTo, got, step.want)
		}
	}
	c.Released()
	if c.Releases() != 1 {
		t.Errorf("%d releases, want 1", c.Releases())
	}
}
