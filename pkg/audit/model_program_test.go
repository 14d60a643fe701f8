package audit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// maxSteps bounds a program.
const maxSteps = 120

// program is a setup and what happens in it.
type program struct {
	setup

	steps []step
}

// step is something that happens.
type step struct {
	text string
	run  func(w *world)
}

// setup is how the stores of a program are made.
type setup struct {
	withSpool, tornWrites, clockErrs bool
	policy                           audit.FullPolicy
	maxEvents, batchEvents, inFlight int
	segmentBytes, spoolBytes         int64
	seed                             uint64
	disk                             []spooltest.Option
}

func (s *setup) diskOptions() []spooltest.Option {
	if !s.tornWrites {
		return s.disk
	}
	return append([]spooltest.Option{spooltest.WithTornWrites(s.seed)}, s.disk...)
}

// clockError says by how much the clock of a process is wrong: the order of stamps
// over processes survives less than five minutes.
func (s *setup) clockError(process int) time.Duration {
	if !s.clockErrs {
		return 0
	}
	return time.Duration(process%3-1) * 2 * time.Minute
}

// reader makes choices from bytes: a fuzzer's, or random ones.
type reader struct{ bytes []byte }

func (r *reader) ended() bool { return len(r.bytes) == 0 }

// below chooses a number from 0 to n-1.
func (r *reader) below(n int) int {
	if r.ended() {
		return 0
	}
	b := r.bytes[0]
	r.bytes = r.bytes[1:]
	return int(b) % n
}

func (r *reader) oneIn(n int) bool { return r.below(n) == n-1 }

func pick[T any](r *reader, choices ...T) T { return choices[r.below(len(choices))] }

// randomProgram makes the bytes of a program from a seed.
func randomProgram(seed uint64) []byte {
	random := randomOf(seed)
	data := make([]byte, 30+random.Uint64()%170)
	for i := range data {
		data[i] = byte(random.Uint64() >> 32)
	}
	return data
}

func randomOf(seed uint64) *rand.PCG { return rand.NewPCG(seed, 1) }

func parse(data []byte) program {
	r := &reader{bytes: data}
	p := program{setup: setup{
		withSpool: r.below(3) > 0, tornWrites: r.oneIn(2), clockErrs: r.oneIn(4),
		maxEvents: 1 + r.below(20), batchEvents: 1 + r.below(8), inFlight: 1 + r.below(4),
		segmentBytes: 4 << 10, spoolBytes: pick(r, int64(16<<10), 32<<10, 8<<20), seed: uint64(r.below(256)),
	}}
	p.policy = pick(r, audit.Wait, audit.Refuse, audit.Spill)
	if !p.withSpool && p.policy == audit.Spill {
		p.policy = audit.Wait
	}
	for len(p.steps) < maxSteps && !r.ended() {
		p.steps = append(p.steps, p.step(r))
	}
	return p
}

func (p *program) String() string {
	var b strings.Builder
	s := &p.setup
	fmt.Fprintf(&b, "setup: spool %v of %d bytes, torn writes %v, clock errors %v, policy %v, %d events in memory, batches of %d, %d in flight\n",
		s.withSpool, s.spoolBytes, s.tornWrites, s.clockErrs, s.policy, s.maxEvents, s.batchEvents, s.inFlight)
	for i := range p.steps {
		fmt.Fprintf(&b, "%3d %s\n", i, p.steps[i].text)
	}
	return b.String()
}

// run runs a program in a bubble, and says which promise was broken, if any was,
// and after which step.
func (p *program) run(ctx context.Context) error {
	w := newWorld(ctx, p.setup)
	for i := range p.steps {
		if w.ledger.verdict() == nil {
			p.steps[i].run(w)
			w.check()
		}
		if err := w.ledger.verdict(); err != nil {
			w.abandon()
			return fmt.Errorf("step %d, %s: %w", i, p.steps[i].text, err)
		}
	}
	w.finish()
	return w.ledger.verdict()
}

// abandon ends the goroutines of a world that broke a promise.
func (w *world) abandon() {
	if w.process == nil {
		return
	}
	over, cancel := patient(w.ctx, 0)
	defer cancel()
	_ = w.process.Close(over)
}

// step chooses what happens next.
func (p *program) step(r *reader) step {
	switch n := r.below(100); {
	case n < 40:
		return recordStep(r)
	case n < 46:
		return burstStep(r)
	case n < 56:
		return flushStep(r)
	case n < 63:
		d := pick(r, time.Millisecond, 99*time.Millisecond, 100*time.Millisecond, time.Second, 5*time.Second)
		return step{fmt.Sprintf("idle %v", d), func(w *world) { w.idle(d) }}
	case n < 77:
		return sinkStep(r)
	case n < 80:
		refuses := r.oneIn(2)
		return step{fmt.Sprintf("sink refuses bad events: %v", refuses), func(w *world) { w.refuse(refuses) }}
	case n < 84:
		return acknowledgeStep(r)
	case n < 87:
		return retryStep(r)
	case n < 92:
		return diskStep(r)
	case n < 94:
		room := r.oneIn(2)
		return step{fmt.Sprintf("disk has room: %v", room), func(w *world) { w.room(room) }}
	case n < 97:
		return step{"crash, and begin again", (*world).crash}
	default:
		patience := pick(r, modelPatience, 50*time.Millisecond, 0)
		return step{fmt.Sprintf("close within %v, and begin again", patience), func(w *world) { w.restart(patience) }}
	}
}

// aside runs a call at once, or beside the program.
func (w *world) aside(beside bool, call func(process *modelLife)) {
	process := w.process
	if !beside {
		call(process)
		return
	}
	process.calls.Go(func() { call(process) })
}

// correlationIDs are those of single events.
var correlationIDs = []string{"a", "b", "c", "d"}

func recordStep(r *reader) step {
	k := pick(r, good, good, good, good, good, badNamed, badUnnamed)
	durability := pick(r, audit.Memory, audit.Memory, audit.Spooled, audit.Spooled, audit.Stored)
	correlationID := pick(r, correlationIDs...)
	how := pick(r, "", "", "", "with an id", "again", "with the id of another", "invalid", "big")
	choice := r.below(256)
	patience := pick(r, 0, 50*time.Millisecond, 2*time.Second)
	beside := r.oneIn(3)
	text := fmt.Sprintf("record %s %v of %s %s (%d) within %v, beside: %v", k, durability, correlationID, how, choice, patience, beside)
	return step{text, func(w *world) {
		wanted := durability
		if wanted == audit.Spooled && !w.withSpool {
			wanted = audit.Memory
		}
		if how == "invalid" {
			w.recordInvalid(wanted)
			return
		}
		f := w.choose(how, choice, k, correlationID)
		w.aside(beside, func(process *modelLife) { w.recordNow(process, f, wanted, patience) })
	}}
}

// choose makes the fact to record, or finds an old one.
func (w *world) choose(how string, choice int, k kind, correlationID string) *fact {
	other := w.ledger.withID(choice)
	switch {
	case how == "big":
		return w.ledger.invent(k, correlationID, uuid.Nil, true)
	case how == "again" && other != nil:
		return other
	case how == "with the id of another" && other != nil:
		// Of one correlation id, because a quarantine on disk keeps one event of an id.
		return w.ledger.invent(k, other.correlationID, other.id, false)
	case how == "with an id":
		id := audit.DerivedID(audittest.Epoch(), fmt.Sprint(len(w.ledger.facts)))
		return w.ledger.invent(k, correlationID, id, false)
	default:
		return w.ledger.invent(k, correlationID, uuid.Nil, false)
	}
}

func (w *world) recordInvalid(durability audit.Durability) {
	ctx, cancel := patient(w.ctx, time.Second)
	defer cancel()
	e := audittest.NewEvent("model.invalid.event", "")
	if err := w.process.RecordWith(ctx, e, durability); err == nil {
		w.ledger.violationf("Record", "an invalid event is accepted")
	}
}

// burstStep lets several recorders and a flusher run at the same time.
func burstStep(r *reader) step {
	recorders, each := 1+r.below(5), 1+r.below(12)
	durability := pick(r, audit.Memory, audit.Spooled, audit.Stored)
	flushes := r.below(4)
	patience := pick(r, 50*time.Millisecond, 2*time.Second)
	text := fmt.Sprintf("%d recorders of %d %v events each within %v, beside %d flushes", recorders, each, durability, patience, flushes)
	return step{text, func(w *world) {
		wanted := durability
		if wanted == audit.Spooled && !w.withSpool {
			wanted = audit.Memory
		}
		process := w.process
		for n := range recorders {
			process.calls.Go(func() {
				for range each {
					f := w.ledger.invent(good, fmt.Sprintf("burst-%d", n), uuid.Nil, false)
					w.recordNow(process, f, wanted, patience)
				}
			})
		}
		for n := range flushes {
			process.calls.Go(func() { w.flushNow(process, pick(&reader{bytes: []byte{byte(n)}}, "", "burst-0"), patience, false) })
		}
		process.calls.Wait()
	}}
}

func flushStep(r *reader) step {
	correlationID := pick(r, "", "", "a", "b")
	patience := pick(r, modelPatience, 50*time.Millisecond, 0)
	beside := r.oneIn(3)
	return step{fmt.Sprintf("flush %q within %v, beside: %v", correlationID, patience, beside), func(w *world) {
		calm := !beside && w.calm()
		w.aside(beside, func(process *modelLife) { w.flushNow(process, correlationID, patience, calm) })
	}}
}

func sinkStep(r *reader) step {
	behaviour := pick(r, "works", "works", "works", "fails", "fails after storing", "hangs", "hangs for one id", "is slow", "duplicates", "misbehaves")
	choice := r.below(256)
	return step{fmt.Sprintf("sink %s (%d)", behaviour, choice), func(w *world) {
		w.works = behaviour == "works" || behaviour == "duplicates"
		w.stuck.free()
		switch behaviour {
		case "works":
			w.sink.Recover()
		case "hangs for one id":
			w.sink.Recover()
			w.stuck.hold(correlationIDs[choice%len(correlationIDs)])
		case "fails":
			w.sink.Fail(errDown)
		case "fails after storing":
			w.sink.FailAfterStoring(errDown)
		case "hangs":
			w.sink.Hang()
		case "is slow":
			w.sink.Slow(time.Duration(1+choice) * 5 * time.Millisecond) // up to more than the write timeout
		case "duplicates":
			w.sink.Duplicate(audittest.Answer(1 + choice%2))
		default:
			odds := audittest.Odds{Fail: 0.15, FailAfterStoring: 0.15, Hang: 0.05, Slow: 0.15, LongestDelay: time.Second, Duplicate: 0.1}
			if err := w.sink.Misbehave(randomOf(uint64(choice)), odds); err != nil {
				w.ledger.violationf("model", "%v", err)
			}
		}
	}}
}

func acknowledgeStep(r *reader) step {
	all := r.oneIn(2)
	return step{fmt.Sprintf("acknowledge, all: %v", all), func(w *world) {
		named := w.ledger.reports()
		if !all {
			named = named[:min(1, len(named))]
		}
		ids := make([]uuid.UUID, 0, len(named)+1)
		ids = append(ids, audit.DerivedID(audittest.Epoch(), "nobody's"))
		for _, r := range named {
			ids = append(ids, r.ID)
		}
		// After an error some may be forgotten and some not: nobody counts on either.
		_, err := w.process.Acknowledge(ids...)
		w.ledger.acknowledge(named)
		if err != nil && w.calm() && !w.process.closed.Load() && !failedOnPurpose(err) {
			w.ledger.violationf("F2", "acknowledge: %v", err)
		}
	}}
}

// countless stands for what a Retry accepts until it says how much it was.
const countless = 1 << 30

func retryStep(r *reader) step {
	patience := pick(r, 50*time.Millisecond, 2*time.Second)
	beside := r.oneIn(3)
	return step{fmt.Sprintf("retry within %v, beside: %v", patience, beside), func(w *world) {
		w.ledger.retries()
		w.aside(beside, func(process *modelLife) {
			ctx, cancel := patient(w.ctx, patience)
			defer cancel()
			process.retried.Add(countless)
			n, _ := process.Retry(ctx) // after an error, what was not retried is in quarantine still
			process.retried.Add(int64(n) - countless)
		})
	}}
}

func diskStep(r *reader) step {
	operation := pick(r, spooltest.Read, spooltest.Write, spooltest.Sync, spooltest.Sync,
		spooltest.Create, spooltest.Rename, spooltest.Remove, spooltest.SyncDir)
	afterEffect := r.oneIn(2)
	return step{fmt.Sprintf("disk fails its next operation %d, after its effect: %v", operation, afterEffect), func(w *world) {
		w.failDisk(operation, afterEffect)
	}}
}
