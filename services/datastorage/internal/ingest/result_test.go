package ingest //nolint:testpackage // planning is an inner step

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/event"
)

// exclusive is a request whose ids belong to nobody else.
func exclusive(lenient bool, events ...*event.Event) Request {
	r := request(lenient, events...)
	r.Exclusive = true
	return r
}

func request(lenient bool, events ...*event.Event) Request {
	r := Request{Lenient: lenient}
	for i, e := range events {
		r.Events = append(r.Events, e)
		if e == nil {
			r.Refusals = append(r.Refusals, event.Refusal{Index: i, Code: event.CodeInvalid})
		}
	}
	return r
}

// finish gives each event of a job the outcome that its id has.
func (p *planned) finish(t *testing.T, outcomes map[byte]outcome) error {
	t.Helper()
	return finish(t, outcomes, p.job)
}

func finish(t *testing.T, outcomes map[byte]outcome, jobs ...*job) error {
	t.Helper()
	g, rest := together(jobs)
	if len(rest) > 0 {
		t.Fatalf("%d jobs contradict others", len(rest))
	}
	for id, o := range outcomes {
		i, known := g.find(uuid.UUID{15: id})
		if !known {
			t.Fatalf("event %d is not in the group", id)
		}
		g.outcomes[i] = o
	}
	return g.assign()
}

func TestEachEventHasItsStatus(t *testing.T) {
	t.Parallel()
	p := plan(exclusive(true,
		someEvent(3, "a"), nil, someEvent(1, "a"), someEvent(3, "a"), someEvent(3, "b"), someEvent(2, "a"), someEvent(4, "a")))
	if ids := len(p.job.events); ids != 4 {
		t.Fatalf("%d events go to the database, want 4", ids)
	}
	if !slices.IsSortedFunc(p.job.events, func(a, b *event.Event) int { return slices.Compare(a.ID[:], b.ID[:]) }) {
		t.Error("not in the order of their ids")
	}
	if err := p.finish(t, map[byte]outcome{1: created, 2: duplicate, 3: created, 4: conflict}); err != nil {
		t.Fatal(err)
	}
	result := p.result()
	if want := []Status{Created, Refused, Created, Duplicate, Refused, Duplicate, Refused}; !slices.Equal(result.Statuses, want) {
		t.Errorf("got %v, want %v", result.Statuses, want)
	}
	refused := make([]int, 0, len(result.Refusals))
	for _, r := range result.Refusals {
		refused = append(refused, r.Index)
	}
	if want := []int{1, 4, 6}; !slices.Equal(refused, want) {
		t.Errorf("refused %v, want %v", refused, want)
	}
}

func TestAllOrNothingStopsAtAConflict(t *testing.T) {
	t.Parallel()
	p := plan(exclusive(false, someEvent(1, "a"), someEvent(2, "a")))
	err := p.finish(t, map[byte]outcome{1: created, 2: conflict})
	var stopped *conflicted
	if !errors.As(err, &stopped) || len(stopped.jobs) != 1 {
		t.Fatalf("got %v", err)
	}
	var refused *RefusedError
	if err := p.refusedOr(errConflict); !errors.As(err, &refused) || len(refused.Refusals) != 1 || refused.Refusals[0].Index != 1 {
		t.Errorf("got %v", err)
	}
}

func TestAnotherEventWithAnIDGetsASecondOne(t *testing.T) {
	t.Parallel()
	first, other, again := someEvent(1, "a"), someEvent(1, "b"), someEvent(1, "b")
	p := plan(request(false, other, first, again))
	if len(p.refusals) > 0 || len(p.job.events) != 2 {
		t.Fatalf("%d refused, %d events go to the database, want none and 2", len(p.refusals), len(p.job.events))
	}
	g, _ := together([]*job{p.job})
	g.create()
	if err := g.assign(); err != nil {
		t.Fatal(err)
	}
	result := p.result()
	if want := []Status{Created, Created, Duplicate}; !slices.Equal(result.Statuses, want) {
		t.Errorf("got %v, want %v", result.Statuses, want)
	}
	second := first.UnderSecondID().ID
	if len(result.SecondIDs) != 1 || result.SecondIDs[1] != second {
		t.Errorf("second ids %v, want %s for the event at 1", result.SecondIDs, second)
	}
}

func TestAnIDThatIsTakenLeadsToASecondOneOrToARefusal(t *testing.T) {
	t.Parallel()
	free, owned := plan(request(false, someEvent(1, "a"))), plan(exclusive(false, someEvent(1, "a")))
	g, _ := together([]*job{free.job, owned.job})
	second := g.events[0].UnderSecondID()
	g.seconds = map[int]*event.Event{0: second}
	if i, known := g.find(second.ID); !known || i != 0 {
		t.Error("the second id is not found")
	}
	if events := g.without(); len(events) != 1 || events[0] != second {
		t.Errorf("stores %v, want the event under its second id", events)
	}
	g.create()
	var stopped *conflicted
	if err := g.assign(); !errors.As(err, &stopped) || len(stopped.jobs) != 1 {
		t.Fatalf("got %v, want the exclusive request alone stopped", err)
	}
	if result := free.result(); result.Statuses[0] != Created || result.SecondIDs[0] != second.ID {
		t.Errorf("got %+v", result)
	}
	if g.claimed() != 1 {
		t.Errorf("%d claimed ids, want 1", g.claimed())
	}
}

func TestTheFirstJobHasCreatedIt(t *testing.T) {
	t.Parallel()
	first, second := someJob(1, 2), someJob(2, 3)
	if err := finish(t, map[byte]outcome{1: created, 2: created, 3: created}, first, second); err != nil {
		t.Fatal(err)
	}
	if first.outcomes[1] != created || second.outcomes[0] != duplicate || second.outcomes[1] != created {
		t.Errorf("got %v and %v", first.outcomes, second.outcomes)
	}
}

func TestReplaysAreRememberedAndThenExpected(t *testing.T) {
	t.Parallel()
	r := newRecent()
	before, after := someJob(1, 2).events, someJob(3).events
	if r.has(before) {
		t.Error("knows events that nobody stored")
	}
	r.add(before)
	if !r.has(append(after, before[1])) || r.has(after) {
		t.Error("does not tell what was stored")
	}
	r.expect()
	for n := range expectFor {
		if !r.has(after) {
			t.Fatalf("replays are expected for %d transactions, want %d", n, expectFor)
		}
	}
	if r.has(after) {
		t.Error("replays are still expected")
	}
}
