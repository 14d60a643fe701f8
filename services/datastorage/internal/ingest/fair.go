package ingest

import (
	"cmp"
	"slices"
)

// load is what jobs hold together.
type load struct{ events, bytes int }

func (l load) with(j *job) load { return load{l.events + len(j.events), l.bytes + j.bytes} }

func (l load) without(j *job) load { return load{l.events - len(j.events), l.bytes - j.bytes} }

// share is the part of the queue that a load takes.
func (q *queue) share(l load) float64 {
	return max(float64(l.events)/float64(q.maxEvents), float64(l.bytes)/float64(q.maxBytes))
}

func (q *queue) isBeyond(l load) bool { return l.events > q.maxEvents || l.bytes > q.maxBytes }

// entered and left keep count of what each caller has in the queue. They are called with the mutex.
func (q *queue) entered(j *job) {
	q.held[j.caller] = q.held[j.caller].with(j)
	q.events += len(j.events)
	q.bytes += j.bytes
}

func (q *queue) left(j *job) {
	q.events -= len(j.events)
	q.bytes -= j.bytes
	if rest := q.held[j.caller].without(j); rest.events > 0 {
		q.held[j.caller] = rest
	} else {
		delete(q.held, j.caller)
	}
}

// makeRoom removes the youngest jobs of the callers that hold most, for a job of a
// caller that would hold less even with it (longest queue drop). A caller alone may
// fill the queue, and others find room all the same. It reports whether there is
// room, and removes nothing if there would be none. It is called with the mutex.
func (q *queue) makeRoom(j *job) bool {
	var dropped []*job
	held := map[string]load{} // what remains of callers that lose jobs
	at := map[string]int{}    // where their next one is looked for
	remaining := func(caller string) load {
		if l, loses := held[caller]; loses {
			return l
		}
		return q.held[caller]
	}
	mine := q.share(q.held[j.caller].with(j))
	for total := (load{q.events, q.bytes}).with(j); q.isBeyond(total); {
		greediest, found, most := "", false, mine
		for caller := range q.held {
			if share := q.share(remaining(caller)); caller != j.caller && share > most {
				greediest, found, most = caller, true, share
			}
		}
		if !found {
			return false
		}
		n, lost := at[greediest]
		if !lost {
			n = len(q.jobs)
		}
		n = q.youngest(greediest, n)
		at[greediest] = n
		held[greediest] = remaining(greediest).without(q.jobs[n])
		total = total.without(q.jobs[n])
		dropped = append(dropped, q.jobs[n])
	}
	q.drop(dropped)
	return true
}

// youngest is the place of a caller's last job before another place. There is one.
func (q *queue) youngest(caller string, before int) int {
	for before--; q.jobs[before].caller != caller; {
		before--
	}
	return before
}

// drop refuses jobs that were admitted, as if the queue had been full.
func (q *queue) drop(jobs []*job) {
	for _, j := range jobs {
		q.left(j)
		delete(q.owed, j)
		j.settle(ErrFull)
	}
	q.jobs = slices.DeleteFunc(q.jobs, func(j *job) bool { return slices.Contains(jobs, j) })
}

// takeTurns puts the jobs in an order in which callers take turns, by events, and
// each caller's stay in theirs. It is called with the mutex.
func (q *queue) takeTurns() {
	ahead := make(map[*job]int, len(q.jobs))
	sums := map[string]int{}
	for _, j := range q.jobs {
		ahead[j] = sums[j.caller]
		sums[j.caller] += len(j.events)
	}
	slices.SortStableFunc(q.jobs, func(a, b *job) int { return cmp.Compare(ahead[a], ahead[b]) })
}
