package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/event"
)

// conflicted stops a transaction for the jobs in it that must not be stored.
type conflicted struct{ jobs map[*job]struct{} }

func (c *conflicted) Error() string { return fmt.Sprintf("%d requests conflict", len(c.jobs)) }

// settle refuses the jobs that conflict and returns the others.
func (c *conflicted) settle(group []*job) []*job {
	var others []*job
	for _, j := range group {
		if _, conflicts := c.jobs[j]; conflicts {
			j.settle(errConflict)
			continue
		}
		others = append(others, j)
	}
	return others
}

// group is what one transaction stores: the events of jobs that agree with each
// other, each id once.
type group struct {
	jobs []*job
	// events in the order of their ids, so that transactions that overlap wait
	// for each other instead of deadlocking.
	events []*event.Event
	// outcomes by event.
	outcomes []outcome
	// reasons why the database refuses events.
	reasons map[uuid.UUID]string
	// places of the jobs' events; nil for a single job, whose events these are.
	places []place
}

// place is where the event of a job stands: in the job, and in the group.
type place struct {
	job, own, at int
}

// together makes a group of jobs, and returns those that contradict an older one.
func together(jobs []*job) (g *group, rest []*job) {
	if len(jobs) == 1 {
		return groupOf(jobs, jobs[0].events, nil), nil
	}
	var places []place
	for n, j := range jobs {
		for own := range j.events {
			places = append(places, place{job: n, own: own})
		}
	}
	of := func(p place) *event.Event { return jobs[p.job].events[p.own] }
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(bytes.Compare(of(a).ID[:], of(b).ID[:]), cmp.Compare(a.job, b.job))
	})
	events := make([]*event.Event, 0, len(places))
	contradicts := make([]bool, len(jobs))
	contradicted := false
	for i, p := range places {
		if e := of(p); i == 0 || events[len(events)-1].ID != e.ID {
			events = append(events, e)
		} else if events[len(events)-1].Digest != e.Digest {
			contradicts[p.job], contradicted = true, true
		}
		places[i].at = len(events) - 1
	}
	if !contradicted {
		return groupOf(jobs, events, places), nil
	}
	// The oldest job contradicts none, so this ends.
	var agreeing []*job
	for n, j := range jobs {
		if contradicts[n] {
			rest = append(rest, j)
			continue
		}
		agreeing = append(agreeing, j)
	}
	g, more := together(agreeing)
	return g, append(rest, more...)
}

func groupOf(jobs []*job, events []*event.Event, places []place) *group {
	return &group{jobs: jobs, events: events, outcomes: make([]outcome, len(events)), places: places}
}

// without are the events that have no outcome.
func (g *group) without() []*event.Event {
	if !slices.ContainsFunc(g.outcomes, func(o outcome) bool { return o != 0 }) {
		return g.events
	}
	var events []*event.Event
	for i, e := range g.events {
		if g.outcomes[i] == 0 {
			events = append(events, e)
		}
	}
	return events
}

// reset forgets the outcomes, for another attempt.
func (g *group) reset() {
	clear(g.outcomes)
	g.reasons = nil
}

// rest gives all events without an outcome this one.
func (g *group) rest(o outcome) {
	for i := range g.outcomes {
		if g.outcomes[i] == 0 {
			g.outcomes[i] = o
		}
	}
}

// find returns the index of an id.
func (g *group) find(id uuid.UUID) (int, bool) {
	return slices.BinarySearchFunc(g.events, id, func(e *event.Event, id uuid.UUID) int { return bytes.Compare(e.ID[:], id[:]) })
}

// assign gives each job its outcome. The first job with an id has created it,
// for the others it is a duplicate. It returns *conflicted or errInvalid when an
// all-or-nothing job cannot be stored.
func (g *group) assign() error {
	for _, j := range g.jobs {
		j.outcomes, j.reasons = make([]outcome, len(j.events)), g.reasons
	}
	if g.places == nil {
		copy(g.jobs[0].outcomes, g.outcomes)
	}
	for i, p := range g.places {
		o := g.outcomes[p.at]
		if o == created && i > 0 && g.places[i-1].at == p.at {
			o = duplicate
		}
		g.jobs[p.job].outcomes[p.own] = o
	}
	stopped := &conflicted{jobs: map[*job]struct{}{}}
	refused := false
	for _, j := range g.jobs {
		if j.lenient {
			continue
		}
		if slices.Contains(j.outcomes, conflict) {
			stopped.jobs[j] = struct{}{}
		}
		refused = refused || slices.Contains(j.outcomes, invalid)
	}
	switch {
	case refused:
		return errInvalid
	case len(stopped.jobs) > 0:
		return stopped
	default:
		return nil
	}
}
