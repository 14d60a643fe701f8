package window_test

import (
	"strings"
	"testing"

	"kubernaut.ai/pkg/audit/internal/queue"
	"kubernaut.ai/pkg/audit/internal/window"
)

type event struct{}

// bench is a window over a queue of events of 10 bytes.
type bench struct {
	window.Window[event]

	queue queue.Queue[event]
	now   int64
}

func newBench(limits window.Limits) *bench {
	return &bench{Window: window.New[event](limits), queue: queue.New[event](1<<20, 1<<30)}
}

// add accepts one event for each letter, with the letter as its correlation id.
func (b *bench) add(correlationIDs string) (arm, wake bool) {
	for id := range strings.SplitSeq(correlationIDs, "") {
		a, w := b.Add(b.queue.Push(&event{}, id, 10, 0, b.now))
		arm, wake = arm || a, wake || w
	}
	return arm, wake
}

// take returns the correlation ids of the next batch.
func (b *bench) take() (*window.Batch[event], string) {
	batch, _ := b.Take(&b.queue)
	if batch == nil {
		return nil, ""
	}
	var ids strings.Builder
	for _, it := range batch.Items {
		ids.WriteString(it.CorrelationID)
	}
	return batch, ids.String()
}

func (b *bench) finish(batch *window.Batch[event]) {
	for _, it := range batch.Items {
		b.queue.Finish(it)
	}
	b.Land(batch)
}

func (b *bench) due() bool { return b.Due(&b.queue, false, false) }

var limits = window.Limits{Events: 3, Bytes: 1000, InFlight: 2, Interval: 100}

func TestDue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limits            window.Limits
		prepare           func(*bench)
		closing, sinkDown bool
		due               bool
	}{
		"nothing waits":             {limits, func(*bench) {}, true, false, false},
		"not full":                  {limits, func(b *bench) { b.add("aa") }, false, false, false},
		"full by events":            {limits, func(b *bench) { b.add("aaa") }, false, false, true},
		"full by bytes":             {window.Limits{Events: 9, Bytes: 20, InFlight: 1}, func(b *bench) { b.add("aa") }, false, false, true},
		"closing":                   {limits, func(b *bench) { b.add("a") }, true, false, true},
		"somebody waits":            {limits, func(b *bench) { b.add("a"); b.Hurry(1) }, false, false, true},
		"somebody waits for others": {limits, func(b *bench) { b.add("a"); b.Hurry(1); b.take(); b.add("b") }, false, false, false},
		"the interval has passed":   {limits, func(b *bench) { b.add("a"); b.Expire(1) }, false, false, true},
		"another in flight, and somebody waits": {
			limits, func(b *bench) { b.add("aaab"); b.take(); b.Hurry(4) }, false, false, false,
		},
		"a stalled one in flight, and somebody waits": {
			limits, func(b *bench) { b.add("aaab"); b.take(); b.Stall(); b.Hurry(4) }, false, false, true,
		},
		"another in flight, and the interval has passed": {
			limits, func(b *bench) { b.add("aaab"); b.take(); b.Expire(4) }, false, false, true,
		},
		"another in flight, and full":  {limits, func(b *bench) { b.add("aaabbb"); b.take() }, false, false, true},
		"as many in flight as allowed": {limits, func(b *bench) { b.add("aaabbbccc"); b.take(); b.take() }, true, false, false},
		"the sink is down":             {limits, func(b *bench) { b.add("aaa") }, false, true, true},
		"the sink is down, and one is in flight": {
			limits, func(b *bench) { b.add("aaabbb"); b.take() }, false, true, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(test.limits)
			test.prepare(b)
			if got := b.Due(&b.queue, test.closing, test.sinkDown); got != test.due {
				t.Errorf("due: %v, want %v", got, test.due)
			}
		})
	}
}

func TestTakeLeavesBusyCorrelationIDsBehind(t *testing.T) {
	t.Parallel()
	b := newBench(limits)
	b.add("aaabab")
	first, ids := b.take()
	if ids != "aaa" {
		t.Fatalf("first batch %q, want aaa", ids)
	}
	if _, ids := b.take(); ids != "bb" {
		t.Fatalf("second batch %q, want bb: a is in flight", ids)
	}
	if batch, again := b.Take(&b.queue); batch != nil || again {
		t.Errorf("third batch %v, again %v, although the last event has to wait", batch, again)
	}
	b.finish(first)
	if _, ids := b.take(); ids != "a" {
		t.Errorf("batch %q after the first landed, want a", ids)
	}
	if b.Waiting() != 0 || b.InFlight() != 2 {
		t.Errorf("%d waiting and %d in flight, want 0 and 2", b.Waiting(), b.InFlight())
	}
}

func TestTakeKeepsToTheBytes(t *testing.T) {
	t.Parallel()
	b := newBench(window.Limits{Events: 9, Bytes: 25, InFlight: 9})
	b.add("abcde")
	for _, want := range []string{"ab", "cd", "e", ""} {
		if _, ids := b.take(); ids != want {
			t.Errorf("batch %q, want %q", ids, want)
		}
	}
}

func TestAnEventLargerThanABatchGoesAlone(t *testing.T) {
	t.Parallel()
	b := newBench(window.Limits{Events: 9, Bytes: 5, InFlight: 9})
	b.add("ab")
	if _, ids := b.take(); ids != "a" {
		t.Errorf("batch %q, want a", ids)
	}
}

func TestALongQueueOfOneIDIsSearchedInSteps(t *testing.T) {
	t.Parallel()
	b := newBench(limits)
	b.add("a")
	b.take()
	b.add(strings.Repeat("a", 10_000) + "b")
	steps := 1
	batch, again := b.Take(&b.queue)
	for ; batch == nil && again; steps++ {
		batch, again = b.Take(&b.queue)
	}
	if batch == nil || batch.Items[0].CorrelationID != "b" || steps != 3 {
		t.Errorf("found %v in %d steps, want b in 3", batch, steps)
	}
}

func TestTheTimerRunsForTheOldestWaitingEvent(t *testing.T) {
	t.Parallel()
	b := newBench(limits)
	if arm, _ := b.add("a"); !arm {
		t.Error("the first event does not start the timer")
	}
	b.now = 40
	if arm, _ := b.add("b"); arm {
		t.Error("the second event starts it again")
	}
	b.take()
	if left := b.Rearm(&b.queue, b.now); left != 0 {
		t.Errorf("%d left although nothing waits", left)
	}
	b.now = 50
	b.add("c")
	b.now = 90
	b.add("d")
	if left := b.Rearm(&b.queue, 120); left != 30 {
		t.Errorf("%d left for the event of 50 at 120, want 30", left)
	}
	if left := b.Rearm(&b.queue, 150); left != 40 {
		t.Errorf("%d left at 150, want 40: the first is overdue, the second is of 90", left)
	}
	if !b.due() {
		t.Error("an overdue event is not due")
	}
}

func TestAddWakesTheDispatcherOnlyForNews(t *testing.T) {
	t.Parallel()
	b := newBench(limits)
	for i, want := range []bool{false, false, true, false} { // the third fills a batch
		if _, wake := b.add("a"); wake != want {
			t.Errorf("event %d wakes: %v, want %v", i, wake, want)
		}
	}
	b = newBench(limits)
	b.Hurry(1)
	if _, wake := b.add("a"); !wake {
		t.Error("an event that somebody waits for does not wake")
	}
}

func TestOverdueEventsAreDueAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(limits)
	b.AddOverdue(b.queue.Push(&event{}, "a", 10, 1, 0))
	if !b.due() || b.Waiting() != 1 {
		t.Error("an event that was read back from the spool waits")
	}
}

func TestARemovedEventDoesNotWait(t *testing.T) {
	t.Parallel()
	b := newBench(window.Limits{Events: 2, Bytes: 1000, InFlight: 1})
	it := b.queue.Push(&event{}, "a", 10, 0, 0)
	b.Add(it)
	b.add("b")
	b.Remove(it)
	b.queue.Finish(it)
	if b.Waiting() != 1 || b.due() {
		t.Errorf("%d waiting and due %v, want 1 and not full", b.Waiting(), b.due())
	}
}

func TestAStalledBatchResumesWhenThereIsASlot(t *testing.T) {
	t.Parallel()
	b := newBench(window.Limits{Events: 1, Bytes: 1000, InFlight: 1})
	b.add("abc")
	b.take()
	b.Stall()
	second, _ := b.take()
	wait := b.Resume()
	if wait == nil {
		t.Fatal("resumed although another batch is moving")
	}
	b.finish(second)
	select {
	case <-wait:
	default:
		t.Fatal("not woken by the batch that landed")
	}
	if b.Resume() != nil {
		t.Error("cannot resume although nothing moves")
	}
	if b.due() {
		t.Error("a batch is due beside the one that resumed")
	}
}

func TestTheTargetAdapts(t *testing.T) {
	t.Parallel()
	b := newBench(window.Limits{Events: 5000, Bytes: 1 << 30, InFlight: 1})
	b.add(strings.Repeat("a", 20_000))
	for _, step := range []struct {
		does func()
		want int
	}{
		{func() {}, 1000},
		{func() { b.Stored(999) }, 1000},
		{func() { b.Stored(1000) }, 2000},
		{func() { b.Stored(2000) }, 4000},
		{func() { b.Stored(4000) }, 5000},
		{func() { b.TooSlow(5000) }, 2500},
		{func() { b.Stored(2500) }, 2500 + 2500/8 + 1},
		{func() { b.TooSlow(1) }, 1},
	} {
		step.does()
		if b.Target() != step.want {
			t.Fatalf("target %d, want %d", b.Target(), step.want)
		}
	}
	if !b.TooLarge(2) || b.TooLarge(1) {
		t.Error("a batch of 2 is too large for a target of 1, one of 1 is not")
	}
	if fresh := newBench(limits); fresh.TooLarge(100) {
		t.Error("too large although no write was slow")
	}
}
