package occurrence

import (
	"time"

	"kubernaut.ai/api/v1alpha1"
)

// maxBeyond bounds the instances beyond the list that one write counts.
const maxBeyond = 1000

// PendingChange is a change of state that waits for its write.
type PendingChange struct {
	Report

	// known means that the instance is counted among those that are not listed.
	known bool

	done chan error // has room for the result of the write
}

// Batch is what is written to one request's status together.
type Batch struct {
	// Duplicates is how many signals there were besides the request's first.
	Duplicates int64
	// LastSeen is when the latest of them arrived.
	LastSeen time.Time
	// Changes of state, in the order of their arrival.
	Changes []PendingChange
	// Seen are the latest plain duplicates of instances, at most one for each.
	Seen map[string]Report
	// Beyond are the ids of instances that are counted, but not listed, at most maxBeyond.
	Beyond map[string]time.Time
	// Started is when the latest firing of those began; zero if none of them tells.
	Started time.Time
	// Ended are the ids of such instances that do not fire any more, at most maxBeyond.
	Ended map[string]time.Time
}

// kind is the value of the metric's label.
func (p *PendingChange) kind() string {
	if p.Resolved {
		return "resolved"
	}
	return "fired"
}

// count counts a firing signal. The end of an instance is not an occurrence.
func (b *Batch) count(r Report) {
	if r.Resolved {
		return
	}
	b.Duplicates++
	if r.Seen.After(b.LastSeen) {
		b.LastSeen = r.Seen
	}
}

// see notes that an instance fires still. Those beyond the bound of a request
// are counted only, and so are their ends.
func (b *Batch) see(r Report) {
	if r.Resolved {
		if r.Beyond && len(b.Ended) < maxBeyond {
			if b.Ended == nil {
				b.Ended = map[string]time.Time{}
			}
			b.Ended[r.ID] = r.Seen
		}
		return
	}
	if r.Beyond || !r.StartAssumed {
		b.start(r.StartsAt)
	}
	if r.Beyond && len(b.Beyond) < maxBeyond {
		if b.Beyond == nil {
			b.Beyond = map[string]time.Time{}
		}
		b.Beyond[r.ID] = r.Seen
		return
	}
	if b.Seen == nil {
		b.Seen = map[string]Report{}
	}
	before, known := b.Seen[r.ID]
	switch {
	case known:
		b.Seen[r.ID] = merge(before, r)
	case len(b.Seen) <= v1alpha1.MaxSignalInstances:
		b.Seen[r.ID] = r
	}
}

// merge is the later of two reports about an instance, with the later start: a sender may repeat
// what it knew before the instance began to fire again.
func merge(a, b Report) Report {
	if !b.Seen.After(a.Seen) {
		a, b = b, a
	}
	if !a.StartAssumed && (b.StartAssumed || a.StartsAt.After(b.StartsAt)) {
		b.StartsAt, b.StartAssumed = a.StartsAt, false
	}
	return b
}

func (b *Batch) start(at time.Time) {
	if at.After(b.Started) {
		b.Started = at
	}
}

// restore puts back what could not be written. Changes are not: their senders
// were told, and repeat them.
func (t *tally) restore(b *Batch) {
	duplicates := b.Duplicates
	for at := range b.Changes {
		if !b.Changes[at].Resolved {
			duplicates--
		}
	}
	if duplicates == 0 && len(b.Seen) == 0 && len(b.Beyond) == 0 && len(b.Ended) == 0 {
		return
	}
	if t.pending == nil {
		t.pending = &Batch{}
	}
	t.pending.Duplicates += duplicates
	if b.LastSeen.After(t.pending.LastSeen) {
		t.pending.LastSeen = b.LastSeen
	}
	t.pending.start(b.Started)
	for _, r := range b.Seen {
		t.pending.see(r)
	}
	for id, seen := range b.Beyond {
		t.pending.see(Report{ID: id, Seen: seen, Beyond: true})
	}
	for id, seen := range b.Ended {
		t.pending.see(Report{ID: id, Seen: seen, Beyond: true, Resolved: true})
	}
}
