package queue_test

import (
	"testing"

	"kubernaut.ai/pkg/audit/internal/queue"
)

func TestAnEventSetAsideStaysPendingAndHoldsItsPlaceOnDisk(t *testing.T) {
	t.Parallel()
	q := queue.New[string](10, 100)
	items := make([]*queue.Item[string], 0, 3)
	for i, text := range []string{"a", "b", "c"} {
		items = append(items, q.Push(&text, text, 10, uint64(i+1), 0))
	}
	q.Finish(items[0])
	aside := q.SetAside(items[1])
	q.Finish(items[2])
	if q.Low() != 3 || q.LowPosition() != 1 || q.LowWithoutAside() != 3 {
		t.Errorf("low %d at position %d (%d without what is aside), want 3 at 1 (3)", q.Low(), q.LowPosition(), q.LowWithoutAside())
	}
	if q.Events() != 1 || q.Bytes() != 10 || q.Oldest() != aside || aside.CorrelationID != "b" || *aside.Event != "b" || aside.Seq != 2 {
		t.Errorf("%d events of %d bytes, oldest %+v, aside %+v", q.Events(), q.Bytes(), q.Oldest(), aside)
	}
	later := "d"
	q.Push(&later, later, 10, 4, 0)
	var seen []uint64
	q.Pending(q.Last(), func(it *queue.Item[string]) { seen = append(seen, it.Seq) })
	if len(seen) != 2 || seen[0] != 2 || seen[1] != 4 {
		t.Errorf("pending %v, want 2 and 4", seen)
	}
	q.Move(aside, 9)
	if q.LowPosition() != 3 {
		t.Errorf("moved to the end, it holds back position %d, want 3", q.LowPosition())
	}
	q.Finish(aside)
	if q.Events() != 1 || q.Bytes() != 10 || aside.State != queue.Terminal || aside.Event != nil || len(q.Aside()) != 0 {
		t.Errorf("finished: %d events of %d bytes, %+v", q.Events(), q.Bytes(), aside)
	}
	q.Finish(aside) // once
	if q.Events() != 1 {
		t.Errorf("finished twice: %d events", q.Events())
	}
}

// Two kinds of order: some items are aside before older ones are terminal.
func TestTheOldestMayBeAside(t *testing.T) {
	t.Parallel()
	q := queue.New[string](10, 100)
	text := ""
	first, second := q.Push(&text, "a", 1, 0, 0), q.Push(&text, "b", 1, 0, 0)
	aside := q.SetAside(second)
	if q.Oldest() != first {
		t.Error("the oldest is not the first")
	}
	q.Finish(first)
	if q.Oldest() != aside {
		t.Error("the oldest is not the one aside")
	}
	q.Finish(aside)
	if q.Oldest() != nil {
		t.Error("the oldest of nothing")
	}
}
