package audit_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// kind says what the sink thinks of an event.
type kind string

const (
	good kind = "good"
	// badNamed is refused with its index, badUnnamed refuses the whole batch.
	badNamed   kind = "named"
	badUnnamed kind = "unnamed"
)

// fact is an event that a program records, once or several times.
type fact struct {
	number        int
	kind          kind
	correlationID string
	// id is the recorder's; zero where the store makes one.
	id  uuid.UUID
	big bool
}

// name is what makes two facts the same event for the sink.
func (f *fact) name() string {
	if f.id != uuid.Nil {
		return f.id.String()
	}
	return strconv.Itoa(f.number)
}

// event makes the event to record. Its type tells the fact wherever it is named.
func (f *fact) event() *audit.Event {
	e := audittest.NewEvent(fmt.Sprintf("model.%s.%d", f.kind, f.number), f.correlationID)
	e.ID = f.id
	if f.big {
		e.Data = fmt.Appendf(nil, `{"fill":%q}`, strings.Repeat("x", bigBytes))
	}
	return e
}

// bigBytes is the data of a big event: three of them fill the least bound of bytes.
const bigBytes = 360 << 10

// outcome is what a recorder knows about its event.
type outcome int

const (
	undecided outcome = iota
	accepted
	// doubtful events may be stored, once at most.
	doubtful
	refused
)

// attempt is one call of Record.
type attempt struct {
	*fact

	durability audit.Durability
	process    int
	// called and returned are times of the ledger.
	called, returned int
	outcome          outcome
	// durable says that the event survives the process.
	durable bool
}

// ledger is the reference model: it knows what the store owes, and to whom it
// answered what, but nothing of how the store works.
type ledger struct {
	mu sync.Mutex // guards what follows

	time     int
	facts    []*fact
	attempts []*attempt
	// names counts the facts of a name: more than one conflict with each other.
	names map[string]int
	// acknowledged and rejected are names.
	acknowledged, rejected map[string]bool
	// reported are the failures that a flush named and nobody acknowledged.
	reported []audit.Reference
	// retried says that rejected events were accepted again.
	retried bool
	// births say how many events were stored when each process began.
	births []int
	// broken is the first promise that was not kept.
	broken error
}

func newLedger() *ledger {
	return &ledger{names: make(map[string]int), acknowledged: make(map[string]bool), rejected: make(map[string]bool)}
}

// violatedf notes that a promise was broken. Called with the lock.
func (l *ledger) violatedf(promise, format string, args ...any) {
	if l.broken == nil {
		l.broken = fmt.Errorf("%s: %s", promise, fmt.Sprintf(format, args...))
	}
}

func (l *ledger) violationf(promise, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violatedf(promise, format, args...)
}

func (l *ledger) verdict() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// invent makes a fact.
func (l *ledger) invent(k kind, correlationID string, id uuid.UUID, big bool) *fact {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &fact{number: len(l.facts), kind: k, correlationID: correlationID, id: id, big: big}
	l.facts = append(l.facts, f)
	l.names[f.name()]++
	return f
}

// withID finds an earlier fact that has an id of the recorder's, nil if there is none.
func (l *ledger) withID(choice int) *fact {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []*fact
	for _, f := range l.facts {
		if f.id != uuid.Nil {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[choice%len(found)]
}

// begin notes a call of Record.
func (l *ledger) begin(f *fact, durability audit.Durability, process int) *attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.time++
	a := &attempt{fact: f, durability: durability, process: process, called: l.time, durable: durability != audit.Memory}
	l.attempts = append(l.attempts, a)
	return a
}

// end notes what Record returned; whoever is dead by then does not know it.
func (l *ledger) end(a *attempt, err error, dead, contextEnded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.time++
	a.returned = l.time
	var rejected *audit.RejectedError
	isRejected := errors.As(err, &rejected)
	switch {
	case dead || errors.Is(err, audit.ErrInDoubt):
		a.outcome = doubtful
	case err == nil:
		a.outcome = accepted
	case isRejected:
		a.outcome = accepted
		l.rejected[a.name()] = true
		if a.durability != audit.Stored || !l.refusable(a.fact) {
			l.violatedf("F9", "event %d of %v durability: %v", a.number, a.durability, err)
		}
	case errors.Is(err, audit.ErrFull), errors.Is(err, audit.ErrClosed), contextEnded:
		a.outcome = refused
	default:
		l.violatedf("Record", "event %d: unexpected error %v", a.number, err)
	}
}

// refusable says whether the sink may refuse a fact. Called with the lock.
func (l *ledger) refusable(f *fact) bool { return f.kind != good || l.names[f.name()] > 1 }

// pending lists what was accepted so far, of one correlation id where one is given.
func (l *ledger) pending(correlationID string) []*attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	var pending []*attempt
	for _, a := range l.attempts {
		if a.outcome == accepted && (correlationID == "" || a.correlationID == correlationID) {
			pending = append(pending, a)
		}
	}
	return pending
}

// counts says how many attempts of a process were accepted, and how many more may have been.
func (l *ledger) counts(process int) (certain, possible int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		switch {
		case a.process != process:
		case a.outcome == accepted:
			certain++
		case a.outcome != refused:
			possible++
		}
	}
	return certain, possible
}

// died takes back what the death of a process takes with it.
func (l *ledger) died(withSpool bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		if a.outcome == accepted && (!withSpool || !a.durable && !l.rejected[a.name()]) {
			a.outcome = doubtful
		}
	}
	if !withSpool {
		clear(l.rejected)
	}
	l.reported = nil
}

// ended is the end of a process in which Close returned: with a spool nothing is
// lost but what Close named.
func (l *ledger) ended(withSpool bool, lost []audit.Reference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := make(map[string]bool, len(lost))
	for _, r := range lost {
		if f := l.factOf(r.Type); f != nil {
			gone[f.name()] = true
		}
	}
	for _, a := range l.attempts {
		if a.outcome != accepted {
			continue
		}
		a.durable = true
		if !withSpool || gone[a.name()] {
			a.outcome = doubtful
		}
	}
	if !withSpool {
		clear(l.rejected)
	}
	l.reported = nil
}

// factOf finds a fact by the type of its event, nil for the type of no fact.
func (l *ledger) factOf(eventType string) *fact {
	number, err := strconv.Atoi(eventType[strings.LastIndexByte(eventType, '.')+1:])
	if err != nil || number < 0 || number >= len(l.facts) {
		return nil
	}
	return l.facts[number]
}

// acknowledge notes that nobody needs to hear of some failures any more.
func (l *ledger) acknowledge(references []audit.Reference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range references {
		if f := l.factOf(r.Type); f != nil {
			l.acknowledged[f.name()] = true
		}
	}
}

// reports lists the failures that flushes named in this process.
func (l *ledger) reports() []audit.Reference {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]audit.Reference(nil), l.reported...)
}

func (l *ledger) retries() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retried = true
}
