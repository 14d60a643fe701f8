package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/pkg/audit/spool/spooltest"
)

// producerFormat makes the name of a process.
const producerFormat = "process-%d"

// The times of a store in a program, of which all are the bubble's.
const (
	modelWriteTimeout = time.Second
	modelLongestPause = 2 * time.Second
	// modelPatience is enough for whatever may still succeed.
	modelPatience = 30 * time.Second
)

// world is what a program runs in: one store after another over the same sink
// and the same disk. It belongs to the program's own goroutine but for what
// recordNow and its like use.
type world struct {
	setup

	ctx       context.Context //nolint:containedctx // a world processes as long as its test
	ledger    *ledger
	disk      *spooltest.Disk
	sink      *audittest.MemorySink
	process   *modelLife
	processes int

	// works says that the sink does, full that the disk is.
	works, full bool
	// stuck are the writes of one correlation id that hang.
	stuck stuck
	// planned are the numbers of the operations of the disk up to which failures are planned.
	planned map[spooltest.Operation]int
}

// modelLife is one store of a program.
type modelLife struct {
	*audit.Store

	number   int
	registry *prometheus.Registry
	spool    *spool.Spool // nil: none
	// calls are those that run beside the program.
	calls sync.WaitGroup
	// dead says that nobody hears the answers of the store, closed that Close was called.
	dead, closed atomic.Bool
	// retried counts the events that were accepted again.
	retried atomic.Int64
}

func newWorld(ctx context.Context, s setup) *world {
	w := &world{
		setup: s, ctx: ctx, ledger: newLedger(), sink: audittest.NewMemorySink(), works: true,
		planned: make(map[spooltest.Operation]int),
	}
	w.disk = spooltest.NewDisk(s.diskOptions()...)
	w.refuse(true)
	w.begin()
	return w
}

// shiftedClock is a wall clock that goes wrong by a constant.
type shiftedClock struct {
	clock.RealClock

	by time.Duration
}

func (c shiftedClock) Now() time.Time { return time.Now().Add(c.by) }

func (c shiftedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// begin starts the next process, however often the disk fails meanwhile.
func (w *world) begin() {
	for tries := 0; ; tries++ {
		process, err := w.open()
		if err == nil {
			w.process = process
			w.ledger.births = append(w.ledger.births, len(w.sink.Events()))
			return
		}
		if !errors.Is(err, spooltest.ErrFailed) || tries > 20 {
			w.ledger.violationf("F8", "process %d cannot begin: %v", w.processes, err)
			return
		}
	}
}

func (w *world) open() (*modelLife, error) {
	process := &modelLife{number: w.processes, registry: prometheus.NewRegistry()}
	options := []audit.Option{
		audit.WithClock(shiftedClock{by: w.clockError(w.processes)}), audit.WithRandom(randomOf(uint64(w.processes))),
		audit.WithProducerID(fmt.Sprintf(producerFormat, w.processes)), audit.WithRegisterer(process.registry),
		audit.WithBatch(w.batchEvents, audit.DefaultBatchBytes), audit.WithBounds(w.maxEvents, leastBytes), audit.WithInFlight(w.inFlight),
		audit.WithFullPolicy(w.policy), audit.WithWriteTimeout(modelWriteTimeout),
		audit.WithBackoff(100*time.Millisecond, modelLongestPause),
	}
	if w.withSpool {
		kept, err := spool.Open(spoolDir, spool.WithFiles(mortalFiles{w.disk, &process.dead}), spool.WithSegmentBytes(w.segmentBytes), spool.WithMaxBytes(w.spoolBytes))
		if err != nil {
			return nil, err
		}
		if damage := kept.State().Damage; damage.Events > 0 {
			w.ledger.violationf("F8", "process %d finds damage where there is none: %+v", w.processes, damage)
		}
		process.spool = kept
		options = append(options, audit.WithSpool(kept))
	}
	store, err := audit.New(&watchedSink{Sink: w.sink, world: w, busy: make(map[string]bool)}, options...)
	if err != nil {
		if process.spool != nil {
			_ = process.spool.Close() // its lock is given back in any case
		}
		return nil, err
	}
	process.Store = store
	w.processes++
	return process, nil
}

// stuck makes the writes that have a correlation id hang, and no others.
type stuck struct {
	mu            sync.Mutex // guards what follows
	correlationID string
	// freed is closed when they go on; nil while none hang.
	freed chan struct{}
}

func (s *stuck) hold(correlationID string) {
	s.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.correlationID, s.freed = correlationID, make(chan struct{})
}

func (s *stuck) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
}

// wait hangs if one of the ids does.
func (s *stuck) wait(ctx context.Context, ids map[string]bool) {
	s.mu.Lock()
	freed, hangs := s.freed, ids[s.correlationID]
	s.mu.Unlock()
	if freed == nil || !hangs {
		return
	}
	select {
	case <-freed:
	case <-ctx.Done():
	}
}

// watchedSink checks what a store asks of a sink.
type watchedSink struct {
	audit.Sink

	world *world

	mu      sync.Mutex // guards what follows
	running int
	// busy are the correlation ids in flight.
	busy map[string]bool
}

func (s *watchedSink) Write(ctx context.Context, batch []audit.Event) (audit.Ack, error) {
	ids := s.begin(batch)
	defer s.end(ids)
	s.world.stuck.wait(ctx, ids)
	return s.Sink.Write(ctx, batch)
}

func (s *watchedSink) begin(batch []audit.Event) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
	ids := make(map[string]bool)
	bytes := 0
	for i := range batch {
		ids[batch[i].CorrelationID] = true
		bytes += batch[i].Footprint()
	}
	for id := range ids {
		if s.busy[id] {
			s.world.ledger.violationf("F11", "two batches of %s are in flight", id)
		}
		s.busy[id] = true
	}
	if s.running > s.world.inFlight || len(batch) < 1 || len(batch) > s.world.batchEvents || bytes > leastBytes {
		s.world.ledger.violationf("F6", "a batch of %d events and %d bytes, %d in flight", len(batch), bytes, s.running)
	}
	return ids
}

func (s *watchedSink) end(ids map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	for id := range ids {
		delete(s.busy, id)
	}
}

// refuse makes the sink refuse bad events, or not any more.
func (w *world) refuse(refuses bool) {
	if !refuses {
		w.sink.Reject(nil)
		return
	}
	w.sink.Reject(func(e audit.Event) error {
		switch f := w.ledger.find(e.Type); {
		case f == nil || f.kind == good:
			return nil
		case f.kind == badNamed:
			return errors.New("bad by name")
		default:
			return fmt.Errorf("bad, and nobody says which: %w", audit.ErrRefused)
		}
	})
}

func (l *ledger) find(eventType string) *fact {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.factOf(eventType)
}

// calm says that nothing stands in the way of storing what is pending.
func (w *world) calm() bool {
	if !w.works || w.full || w.process.closed.Load() {
		return false
	}
	for operation, upTo := range w.planned {
		if w.disk.Count(operation) < upTo {
			return false
		}
	}
	return true
}

// failDisk plans a failure of the disk.
func (w *world) failDisk(operation spooltest.Operation, afterEffect bool) {
	w.planned[operation] = max(w.planned[operation], w.disk.Count(operation)) + 1
	w.disk.FailNext(operation, afterEffect)
}

// recordNow records a fact once, and judges the answer.
func (w *world) recordNow(process *modelLife, f *fact, durability audit.Durability, patience time.Duration) {
	ctx, cancel := patient(w.ctx, patience)
	defer cancel()
	a := w.ledger.begin(f, durability, process.number)
	wasClosed := process.closed.Load()
	started := time.Now()
	err := process.RecordWith(ctx, f.event(), durability)
	took := time.Since(started)
	dead := process.dead.Load()
	w.ledger.end(a, err, dead, ctx.Err() != nil)
	switch {
	case took > patience:
		w.ledger.violationf("F6", "record of event %s took %v, its context %v", a.describe(), took, patience)
	case wasClosed && !errors.Is(err, audit.ErrClosed):
		w.ledger.violationf("F10", "record after close: %v", err)
	case took > 0 && w.policy == audit.Refuse && durability != audit.Stored:
		w.ledger.violationf("F6", "record of event %s took %v under the refuse policy", a.describe(), took)
	case err == nil && durability == audit.Stored && !w.isStored(f):
		w.ledger.violationf("F8", "event %s is not stored", a.describe())
	}
}

func (w *world) isStored(f *fact) bool {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	return w.ledger.storedNumbers(w.sink.Events())[f.number]
}

// flushNow flushes everything, or one correlation id, and judges the answer.
func (w *world) flushNow(process *modelLife, correlationID string, patience time.Duration, calm bool) {
	ctx, cancel := patient(w.ctx, patience)
	defer cancel()
	pending := w.ledger.pending(correlationID)
	started := time.Now()
	var err error
	name := "flush"
	if correlationID == "" {
		_, err = process.Flush(ctx)
	} else {
		name = "flush for " + correlationID
		_, err = process.FlushFor(ctx, correlationID)
	}
	took := time.Since(started)
	if process.dead.Load() && err != nil {
		return // there is nobody to hear it
	}
	w.ledger.judgeFlush(name, pending, err, w.sink.Events(), process.closed.Load())
	if took > patience {
		w.ledger.violationf("F3", "%s took %v, its context %v", name, took, patience)
	}
	if calm && patience > 0 {
		w.wantNoWait(name, err, took)
	}
}

// wantNoWait is F4: over a sink that works, nothing waits for the clock.
func (w *world) wantNoWait(name string, err error, took time.Duration) {
	var e *audit.FlushError
	failed := errors.As(err, &e)
	if took > 0 || failed && e.Pending > 0 {
		w.ledger.violationf("F4", "%s took %v although the sink works: %v", name, took, err)
	}
}

// closeNow closes a process, and judges the answer.
func (w *world) closeNow(process *modelLife, patience time.Duration, calm bool) (lost []audit.Reference) {
	ctx, cancel := patient(w.ctx, patience)
	defer cancel()
	process.closed.Store(true)
	pending := w.ledger.pending("")
	started := time.Now()
	err := process.Close(ctx)
	took := time.Since(started)
	var e *audit.FlushError
	failed := errors.As(err, &e)
	if err != nil && !failed {
		if !failedOnPurpose(err) {
			w.ledger.violationf("F10", "close: unexpected error %v", err)
		}
		err = nil // everything is stored, the spool will say so again after the restart
	}
	w.ledger.judgeFlush("close", pending, err, w.sink.Events(), true)
	if took > patience {
		w.ledger.violationf("F10", "close took %v, its context %v", took, patience)
	}
	if calm && patience > 0 {
		w.wantNoWait("close", err, took)
	}
	if !failed {
		return nil
	}
	if w.withSpool && len(e.Lost)+e.LostUnnamed > 0 && !w.full && e.SpoolError == nil {
		w.ledger.violationf("F10", "close lost events although there is a spool: %v", err)
	}
	if !w.withSpool && e.Pending > 0 {
		w.ledger.violationf("F10", "close leaves events pending without a spool: %v", err)
	}
	return e.Lost
}

// restart ends a process gracefully, and begins the next one.
func (w *world) restart(patience time.Duration) {
	process := w.process
	lost := w.closeNow(process, patience, w.calm())
	w.recordNow(process, w.ledger.invent(good, "late", uuid.Nil, false), audit.Memory, 0)
	process.calls.Wait()
	lost = append(lost, w.closeNow(process, patience, false)...)
	w.ledger.ended(w.withSpool, lost)
	w.next()
}

// crash is the loss of power in the middle of everything.
func (w *world) crash() {
	process := w.process
	process.dead.Store(true)
	w.ledger.died(w.withSpool)
	w.disk.Crash()
	clear(w.planned)
	over, cancel := patient(w.ctx, 0)
	defer cancel()
	process.closed.Store(true)
	_ = process.Close(over) // only ends the goroutines of the dead
	process.calls.Wait()
	w.next()
}

func (w *world) next() {
	w.room(true)
	<-time.After(time.Second) // no process starts in no time
	w.begin()
}

// room fills the disk, or makes room.
func (w *world) room(room bool) {
	w.full = !room
	capacity := int64(0)
	if !room {
		capacity = 1
	}
	w.disk.SetCapacity(capacity)
}

// check looks at what must hold at any time, when nothing is running.
func (w *world) check() {
	synctest.Wait()
	process := w.process
	if process.spool != nil {
		if state := process.spool.State(); state.Bytes > state.MaxBytes {
			w.ledger.violationf("F6", "spool of %d bytes, at most %d", state.Bytes, state.MaxBytes)
		}
	}
	if process.closed.Load() {
		return
	}
	g := gauges(process.registry)
	if inMemory := g["audit_pending_events"] - g["audit_spilled_events"]; inMemory > float64(w.maxEvents) {
		w.ledger.violationf("F6", "%v events in memory, at most %d", inMemory, w.maxEvents)
	}
	if bytes := g["audit_pending_bytes"]; !w.withSpool && bytes > leastBytes {
		w.ledger.violationf("F6", "%v bytes in memory, at most %d", bytes, leastBytes)
	}
	if in, out := g["audit_accepted_total"]+g["audit_recovered_total"],
		g["audit_stored_total"]+g["audit_rejected_total"]+g["audit_lost_total"]+g["audit_pending_events"]; in != out {
		w.ledger.violationf("F12", "%v events came in, %v are accounted for: %v", in, out, g)
	}
	certain, possible := w.ledger.counts(process.number)
	possible += int(process.retried.Load())
	if n := int(g["audit_accepted_total"]); n < certain || n > certain+possible {
		w.ledger.violationf("F12", "%d events accepted by the metric, %d to %d by the answers", n, certain, certain+possible)
	}
}

// idle lets time pass: F13, nobody has to flush.
func (w *world) idle(d time.Duration) {
	synctest.Wait()
	calm := w.calm()
	<-time.After(d)
	synctest.Wait()
	if calm && w.calm() && d > 2*modelLongestPause {
		if pending := gauges(w.process.registry)["audit_pending_events"]; pending > 0 {
			w.ledger.violationf("F13", "%v events are pending although the sink has worked for %v", pending, d)
		}
	}
}

// finish lets everything work again, and wants every promise to be kept.
func (w *world) finish() {
	w.works = true
	w.stuck.free()
	w.sink.Recover()
	w.room(true)
	w.process.calls.Wait()
	w.flushNow(w.process, "", modelPatience, w.calm())
	w.check()
	if pending := gauges(w.process.registry)["audit_pending_events"]; pending > 0 {
		w.ledger.violationf("F1", "%v events are pending in the end", pending)
	}
	w.closeNow(w.process, modelPatience, w.calm())
	w.ledger.judgeStored(w.sink.Events(), !w.clockErrs)
	if w.withSpool && w.disk.OpenFiles() > 0 {
		w.ledger.violationf("F10", "%d files are open after the end:\n%v", w.disk.OpenFiles(), w.disk)
	}
}

// failedOnPurpose says whether an error is one that the program planned.
func failedOnPurpose(err error) bool {
	return errors.Is(err, spooltest.ErrFailed) || errors.Is(err, audit.ErrFull)
}

// patient makes a context that ends after a while, or has ended already.
func patient(parent context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	if patience == 0 {
		ctx, cancel := context.WithCancel(parent)
		cancel()
		return ctx, cancel
	}
	return context.WithTimeout(parent, patience)
}

// gauges reads the counters and gauges of a registry.
func gauges(registry *prometheus.Registry) map[string]float64 {
	values := make(map[string]float64)
	families, _ := registry.Gather() // the store's metrics cannot fail
	for _, family := range families {
		for _, m := range family.GetMetric() {
			values[family.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}
