package audit_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kubernaut.ai/pkg/audit"
)

// judgeFlush compares the answer of a flush, or of Close, with what was
// accepted before it was called, and with what is stored after it returned.
func (l *ledger) judgeFlush(name string, pending []*attempt, err error, events []audit.Event, gaveUp bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := l.storedNumbers(events)
	var unstored []*attempt
	for _, a := range pending {
		// Whatever became doubtful in the meantime is pending by nobody.
		if a.outcome == accepted && !stored[a.number] && !l.acknowledged[a.name()] && !l.replaced(a.fact, stored) {
			unstored = append(unstored, a)
		}
	}
	if err == nil {
		if len(unstored) > 0 {
			l.violatedf("F1", "%s is nil, but event %s is not stored", name, unstored[0].describe())
		}
		return
	}
	var e *audit.FlushError
	if !errors.As(err, &e) {
		l.violatedf("F2", "%s: %v is no *FlushError", name, err)
		return
	}
	l.judgeReport(name, e, gaveUp)
	named := make(map[string]bool)
	for _, r := range l.failuresOf(e) {
		if f := l.factOf(r.Type); f != nil {
			named[f.name()] = true
		}
	}
	owing := make(map[string]*attempt)
	for _, a := range unstored {
		if !named[a.name()] {
			owing[a.name()] = a
		}
	}
	for _, a := range owing {
		if len(owing) > e.Pending {
			l.violatedf("F2", "%s: %d events are neither stored nor reported, as %s, but only %d pending: %v",
				name, len(owing), a.describe(), e.Pending, err)
		}
	}
}

// replaced says whether another event of the same id may have taken the place
// of one: of several that the quarantine had, a Retry puts back one. Called with the lock.
func (l *ledger) replaced(f *fact, stored map[int]bool) bool {
	if !l.retried || l.names[f.name()] == 1 {
		return false
	}
	return slices.ContainsFunc(l.facts, func(other *fact) bool { return other.name() == f.name() && stored[other.number] })
}

// judgeReport checks a report in itself, and remembers whom it names. Called with the lock.
func (l *ledger) judgeReport(name string, e *audit.FlushError, gaveUp bool) {
	switch {
	case e.Pending > 0 && e.Cause == nil:
		l.violatedf("F1", "%s gave up without a cause: %v", name, e)
	case e.Pending == 0 && len(l.failuresOf(e))+e.RejectedUnnamed+e.LostUnnamed == 0:
		l.violatedf("F1", "%s failed without a reason: %v", name, e)
	case e.Events < e.Stored+e.Pending || e.Stored < 0 || e.Pending < e.Spooled:
		l.violatedf("F3", "%s: the counts do not add up: %+v", name, e)
	case len(e.Lost)+e.LostUnnamed > 0 && !gaveUp:
		l.violatedf("F6", "%s lost events of a store that is open: %v", name, e)
	}
	for i := range e.Rejected {
		r := &e.Rejected[i]
		f := l.factOf(r.Type)
		if f == nil || !l.refusable(f) || r.CorrelationID != f.correlationID || r.Reason == "" {
			l.violatedf("F9", "%s: %+v is reported as rejected", name, r)
			continue
		}
		l.rejected[f.name()] = true
	}
	l.reported = append(l.reported, l.failuresOf(e)...)
}

// failuresOf lists the events that a report names as rejected or lost.
func (*ledger) failuresOf(e *audit.FlushError) []audit.Reference {
	failures := slices.Clone(e.Lost)
	for i := range e.Rejected {
		failures = append(failures, e.Rejected[i].Reference)
	}
	return failures
}

func (a *attempt) describe() string {
	return fmt.Sprintf("%d (%s, %v, of %s, process %d)", a.number, a.kind, a.durability, a.correlationID, a.process)
}

// storedNumbers says which facts are stored, and wants each to be stored once,
// and none that was never accepted. Called with the lock.
func (l *ledger) storedNumbers(events []audit.Event) map[int]bool {
	stored := make(map[int]bool, len(events))
	for i := range events {
		f := l.factOf(events[i].Type)
		if f == nil {
			l.violatedf("F7", "event %s was never recorded", events[i].Type)
			continue
		}
		if stored[f.number] {
			l.violatedf("F7", "event %d is stored twice", f.number)
		}
		stored[f.number] = true
	}
	return stored
}

// judgeStored looks at everything that is stored: nothing that was refused,
// and in order.
func (l *ledger) judgeStored(events []audit.Event, oneClock bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := l.storedNumbers(events)
	possible := make(map[int]bool)
	for _, a := range l.attempts {
		if a.outcome != refused {
			possible[a.number] = true
		}
		if a.outcome == accepted && a.durability == audit.Stored && !stored[a.number] && !l.refusable(a.fact) {
			l.violatedf("F8", "event %s was promised to be stored", a.describe())
		}
	}
	for number := range stored {
		if !possible[number] {
			l.violatedf("F6", "event %d is stored although every Record of it said that it was not accepted", number)
		}
	}
	l.judgeOrder(events, oneClock)
}

// place is where a store put an event in the order of acceptance.
type place struct {
	process  int
	sequence uint64
}

func (p place) before(other place) bool {
	return p.process < other.process || p.process == other.process && p.sequence < other.sequence
}

// judgeOrder checks F11 for the events that were accepted once, without doubt,
// and that are never refused. Called with the lock.
func (l *ledger) judgeOrder(events []audit.Event, oneClock bool) {
	steady := l.steady()
	places := make(map[int]place)
	newest := make(map[string]place)
	byTime := make(map[string][]audit.Event)
	for i := range events {
		e := &events[i]
		f := l.factOf(e.Type)
		if f == nil {
			continue
		}
		a, ok := steady[f.number]
		if !ok {
			continue
		}
		p := place{sequence: e.Producer.Sequence}
		_, _ = fmt.Sscanf(e.Producer.ID, producerFormat, &p.process)
		if p.process != a.process {
			l.violatedf("F11", "event %s has producer %+v", a.describe(), e.Producer)
		}
		places[f.number] = p
		byTime[e.CorrelationID] = append(byTime[e.CorrelationID], *e)
		if a.durability == audit.Memory && l.lifeAt(i) != a.process {
			continue // what a Close keeps of these comes behind what was on disk before
		}
		if !newest[e.CorrelationID].before(p) {
			l.violatedf("F11", "event %s is stored after one that was accepted later: %+v after %+v", a.describe(), p, newest[e.CorrelationID])
		}
		newest[e.CorrelationID] = p
	}
	l.judgeCallers(steady, places)
	for _, trail := range byTime {
		slices.SortFunc(trail, func(a, b audit.Event) int {
			if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
				return c
			}
			return strings.Compare(a.ID.String(), b.ID.String())
		})
		for i := 1; i < len(trail); i++ {
			before, after := places[l.factOf(trail[i-1].Type).number], places[l.factOf(trail[i].Type).number]
			if (oneClock || before.process == after.process) && !before.before(after) {
				l.violatedf("F11", "a query has %+v at %v before %+v at %v", before, trail[i-1].Timestamp, after, trail[i].Timestamp)
			}
		}
	}
}

// lifeAt says in which process the event at an index was stored. Called with the lock.
func (l *ledger) lifeAt(index int) int {
	process := 0
	for process+1 < len(l.births) && l.births[process+1] <= index {
		process++
	}
	return process
}

// steady finds the only attempts at facts. Called with the lock.
func (l *ledger) steady() map[int]*attempt {
	steady := make(map[int]*attempt)
	again := make(map[int]bool)
	for _, a := range l.attempts {
		if steady[a.number] != nil {
			again[a.number] = true
		}
		steady[a.number] = a
	}
	maps.DeleteFunc(steady, func(number int, a *attempt) bool {
		return again[number] || a.outcome != accepted || l.refusable(a.fact)
	})
	return steady
}

// judgeCallers wants what was recorded after another Record had returned to be
// behind it. Called with the lock.
func (l *ledger) judgeCallers(steady map[int]*attempt, places map[int]place) {
	// In the order of the calls, the newest of those that had returned by then.
	type moment struct {
		time     int
		a        *attempt
		returned bool
	}
	var moments []moment
	for number, a := range steady {
		if _, ok := places[number]; ok {
			moments = append(moments, moment{a.called, a, false}, moment{a.returned, a, true})
		}
	}
	slices.SortFunc(moments, func(a, b moment) int { return a.time - b.time })
	behind := make(map[*attempt]place)
	newest := make(map[int]place) // by process
	for _, m := range moments {
		p := places[m.a.number]
		if !m.returned {
			behind[m.a] = newest[p.process]
			continue
		}
		if !behind[m.a].before(p) {
			l.violatedf("F11", "event %s was accepted before one whose Record had returned before it was called", m.a.describe())
		}
		if newest[p.process].before(p) {
			newest[p.process] = p
		}
	}
}
