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
	// seconds are the events as they are stored under a second id, by the place of
	// those whose own is taken.
	seconds map[int]*event.Event
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

// without are the events that have no outcome, as they are to be stored.
func (g *group) without() []*event.Event {
	if !slices.ContainsFunc(g.outcomes, func(o outcome) bool { return o != 0 }) && len(g.seconds) == 0 {
		return g.events
	}
	var events []*event.Event
	for i, e := range g.events {
		if g.outcomes[i] != 0 {
			continue
		}
		if second := g.seconds[i]; second != nil {
			e = second
		}
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b *event.Event) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return events
}

// reset forgets the outcomes, for another attempt.
func (g *group) reset() {
	clear(g.outcomes)
	g.seconds, g.reasons = nil, nil
}

// create gives all events without an outcome that of new ones.
func (g *group) create() {
	for i := range g.outcomes {
		if g.outcomes[i] == 0 {
			g.outcomes[i] = created
		}
	}
}

// find returns the place of an id, or of a second one.
func (g *group) find(id uuid.UUID) (int, bool) {
	i, found := slices.BinarySearchFunc(g.events, id, func(e *event.Event, id uuid.UUID) int { return bytes.Compare(e.ID[:], id[:]) })
	if found {
		return i, true
	}
	for i, second := range g.seconds {
		if second.ID == id {
			return i, true
		}
	}
	return 0, false
}

// claimed counts the events that the group created under a second id.
func (g *group) claimed() int {
	n := 0
	for i := range g.seconds {
		if g.outcomes[i] == created {
			n++
		}
	}
	return n
}

// assign gives each job its outcome. The first job with an id has created it,
// for the others it is a duplicate. It returns *conflicted or errInvalid when an
// all-or-nothing job cannot be stored.
func (g *group) assign() error {
	for _, j := range g.jobs {
		j.outcomes, j.seconds, j.reasons = make([]outcome, len(j.events)), nil, g.reasons
	}
	if g.places == nil {
		for i := range g.events {
			g.jobs[0].assign(i, g.outcomes[i], g.seconds[i])
		}
	}
	for i, p := range g.places {
		o := g.outcomes[p.at]
		if o == created && i > 0 && g.places[i-1].at == p.at {
			o = duplicate
		}
		g.jobs[p.job].assign(p.own, o, g.seconds[p.at])
	}
	return g.refused()
}

// assign gives one event its outcome.
func (j *job) assign(own int, o outcome, second *event.Event) {
	switch {
	case second == nil:
	case j.exclusive:
		o = conflict
	default:
		if j.seconds == nil {
			j.seconds = map[int]*event.Event{}
		}
		j.seconds[own] = second
	}
	j.outcomes[own] = o
}

// refused is the error of a group with all-or-nothing jobs that cannot be stored.
func (g *group) refused() error {
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
