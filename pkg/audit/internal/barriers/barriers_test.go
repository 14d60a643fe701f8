package barriers_test

import (
	"testing"

	"kubernaut.ai/pkg/audit/internal/barriers"
)

// join adds a flush that finds n pending events.
func join(s *barriers.Set, correlationID string, seq uint64, n int) barriers.Ticket {
	return s.Join(correlationID, seq, func() int { return n })
}

func done(t barriers.Ticket) bool {
	select {
	case <-t.Done:
		return true
	default:
		return false
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		barrier       string
		seq           uint64
		correlationID string
		covers        bool
	}{
		"everything, up to the barrier": {barriers.Everything, 5, "a", true},
		"everything, behind it":         {barriers.Everything, 6, "a", false},
		"its correlation id":            {"a", 5, "a", true},
		"its correlation id, behind it": {"a", 6, "a", false},
		"another correlation id":        {"a", 5, "b", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := barriers.Barrier{CorrelationID: test.barrier, Seq: 5}
			if got := b.Covers(test.seq, test.correlationID); got != test.covers {
				t.Errorf("covers: %v, want %v", got, test.covers)
			}
		})
	}
}

func TestFlushesShareABarrierUntilAnotherEventIsAccepted(t *testing.T) {
	t.Parallel()
	var s barriers.Set
	first, second, later := join(&s, barriers.Everything, 3, 3), join(&s, barriers.Everything, 3, 99), join(&s, barriers.Everything, 4, 4)
	if first.Barrier != second.Barrier || first.Barrier == later.Barrier {
		t.Fatal("flushes at one sequence number share a barrier, those at another do not")
	}
	if own := join(&s, "a", 4, 1); own.Barrier == later.Barrier {
		t.Error("a flush for one correlation id shares the barrier of everything")
	}
}

func TestABarrierOpensWhenItsLastEventIsTerminal(t *testing.T) {
	t.Parallel()
	var s barriers.Set
	all, a := join(&s, barriers.Everything, 3, 3), join(&s, "a", 3, 2)
	s.Pass(1, "a", false)
	s.Pass(2, "b", true)
	s.Pass(4, "a", false) // accepted after the flushes began
	s.Open()
	if done(all) || done(a) || all.Remaining != 1 || a.Remaining != 1 {
		t.Fatalf("%d and %d remain, want 1 and 1", all.Remaining, a.Remaining)
	}
	s.Pass(3, "a", false)
	s.Open()
	if !done(all) || !done(a) {
		t.Fatal("nothing remains, and a barrier is closed")
	}
	if all.Events() != 3 || all.Stored() != 2 || a.Events() != 2 || a.Stored() != 2 {
		t.Errorf("%d of %d and %d of %d are stored, want 2 of 3 and 2 of 2", all.Stored(), all.Events(), a.Stored(), a.Events())
	}
	if s.Selective() {
		t.Error("open barriers are still held")
	}
}

func TestABarrierOfNothingIsOpenAtOnce(t *testing.T) {
	t.Parallel()
	var s barriers.Set
	if !done(join(&s, barriers.Everything, 9, 0)) || !done(join(&s, "a", 9, 0)) {
		t.Error("closed")
	}
	if s.Selective() {
		t.Error("a barrier of nothing is held")
	}
}

func TestATicketCountsFromWhenItsFlushJoined(t *testing.T) {
	t.Parallel()
	var s barriers.Set
	join(&s, barriers.Everything, 3, 3)
	s.Pass(1, "a", true)
	late := join(&s, barriers.Everything, 3, 99)
	s.Pass(2, "a", false)
	if late.Events() != 2 || late.Stored() != 1 {
		t.Errorf("%d of %d stored, want 1 of 2", late.Stored(), late.Events())
	}
}

func TestEventsReadBackCountForTheirOwnCorrelationIDOnly(t *testing.T) {
	t.Parallel()
	var s barriers.Set
	all, a := join(&s, barriers.Everything, 3, 3), join(&s, "a", 3, 3)
	if !s.Selective() {
		t.Fatal("not selective with a flush for one correlation id")
	}
	for seq, id := range []string{"a", "b", "b", "b"} {
		s.Identify(uint64(seq+1), id) // the last is behind both barriers
	}
	if all.Remaining != 3 || a.Remaining != 1 || a.Events() != 1 {
		t.Errorf("%d and %d remain, want 3 and 1", all.Remaining, a.Remaining)
	}
}

func TestAnUnidentifiedLossFailsEveryFlush(t *testing.T) {
	t.Parallel()
	var s barriers.Set
	all, a := join(&s, barriers.Everything, 1, 1), join(&s, "a", 1, 1)
	s.Lose(2)
	s.Open()
	if done(all) || done(a) {
		t.Fatal("a loss behind a barrier opened it")
	}
	s.Lose(1)
	s.Open()
	if !done(all) || !done(a) || all.Failed != 1 || a.Failed != 1 || all.Stored() != 0 {
		t.Errorf("failed: %d and %d, want 1 and 1", all.Failed, a.Failed)
	}
}

func TestABarrierThatEveryoneLeftIsDropped(t *testing.T) {
	t.Parallel()
	for _, id := range []string{barriers.Everything, "a"} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			var s barriers.Set
			first, second := join(&s, id, 1, 1), join(&s, id, 1, 1)
			s.Leave(first)
			if third := join(&s, id, 1, 1); third.Barrier != first.Barrier {
				t.Fatal("dropped while a flush waits")
			}
			s.Leave(second)
			s.Leave(second) // stands for the third
			if fresh := join(&s, id, 1, 1); fresh.Barrier == first.Barrier {
				t.Error("kept although nobody waits")
			}
		})
	}
}
