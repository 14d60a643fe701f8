package ingest

import (
	"errors"
	"slices"

	"github.com/google/uuid"

	"kubernaut.ai/services/datastorage/internal/event"
)

// errConflict and errInvalid settle an all-or-nothing job whose outcome names
// events that were used for something else, or that the database refuses.
var (
	errConflict = errors.New("conflicts with stored events")
	errInvalid  = errors.New("holds events that the database refuses")
)

// result tells what became of each event, after the job was settled without an error.
func (p *planned) result() Result {
	refused := p.allRefusals()
	result := Result{Statuses: make([]Status, len(p.Events)), Refusals: refused, Token: p.job.token}
	for i, e := range p.Events {
		if e == nil || p.slots[i] < 0 {
			continue
		}
		if id := p.storedID(i); id != p.Events[i].ID {
			if result.SecondIDs == nil {
				result.SecondIDs = map[int]uuid.UUID{}
			}
			result.SecondIDs[i] = id
		}
		switch p.job.outcomes[p.slots[i]] {
		case created:
			result.Statuses[i] = Created
			if _, repeats := p.repeats[i]; repeats {
				result.Statuses[i] = Duplicate
			}
		case duplicate:
			result.Statuses[i] = Duplicate
		case conflict, invalid:
			result.Statuses[i] = Refused
		}
	}
	for _, r := range refused {
		result.Statuses[r.Index] = Refused
		delete(result.SecondIDs, r.Index)
	}
	return result
}

// storedID is the id that an event is stored under.
func (p *planned) storedID(i int) uuid.UUID {
	if second := p.job.seconds[p.slots[i]]; second != nil {
		return second.ID
	}
	return p.stored[i].ID
}

// refusedOr turns the error of a job into one that names its events, where it can.
func (p *planned) refusedOr(err error) error {
	if errors.Is(err, errConflict) || errors.Is(err, errInvalid) {
		return &RefusedError{Refusals: p.allRefusals()}
	}
	return err
}

// allRefusals adds what the database refused to what was refused before.
func (p *planned) allRefusals() []event.Refusal {
	all := slices.Clone(p.refusals)
	for i, e := range p.Events {
		if e == nil || p.slots[i] < 0 {
			continue
		}
		switch p.job.outcomes[p.slots[i]] {
		case conflict:
			all = append(all, event.Conflict(i, e.ID))
		case invalid:
			all = append(all, refusedByDatabase(i, e.ID, p.job.reasons[p.storedID(i)]))
		case created, duplicate:
		}
	}
	event.Sort(all)
	return all
}

func refusedByDatabase(index int, id uuid.UUID, reason string) event.Refusal {
	return event.Refusal{Index: index, ID: id, Code: event.CodeInvalid, Detail: "the database refuses this event: " + reason}
}
