package ingest //nolint:testpackage // planning is an inner step

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/event"
)

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
	all := map[uuid.UUID]outcome{}
	for id, o := range outcomes {
		all[uuid.UUID{15: id}] = o
	}
	return assign([]*job{p.job}, all)
}

func TestEachEventHasItsStatus(t *testing.T) {
	t.Parallel()
	p := plan(request(true,
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
	p := plan(request(false, someEvent(1, "a"), someEvent(2, "a")))
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

func TestTheFirstJobHasCreatedIt(t *testing.T) {
	t.Parallel()
	first, second := someJob(1, 2), someJob(2, 3)
	outcomes := map[uuid.UUID]outcome{{15: 1}: created, {15: 2}: created, {15: 3}: created}
	if err := assign([]*job{first, second}, outcomes); err != nil {
		t.Fatal(err)
	}
	shared := uuid.UUID{15: 2}
	if first.outcome[shared] != created || second.outcome[shared] != duplicate {
		t.Errorf("got %v and %v", first.outcome[shared], second.outcome[shared])
	}
}
