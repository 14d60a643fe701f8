package dedup_test

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
)

// stepKind says how the scheduler may treat a step.
type stepKind int

const (
	stepRead   stepKind = iota // of the API server; may fail
	stepWrite                  // to the API server; may fail, or succeed with a lost response
	stepCreate                 // of a request; may also be denied
	stepAudit                  // an event for the audit store; may fail
	stepLocal                  // touches only its thread and cannot fail
	stepEvent                  // something happens in the world; cannot fail
)

// outcome is what the scheduler does with a step.
type outcome string

const (
	succeeds outcome = ""
	fails    outcome = " (fails)"         // nothing is changed, the caller gets an error
	loses    outcome = " (response lost)" // the change is made, the caller gets an error
	denies   outcome = " (denied)"        // nothing is changed, and the caller knows that
	dies     outcome = " (process dies)"  // nothing is changed, the process never does anything again
)

// step is one thing that a thread wants to do. The thread waits for done.
type step struct {
	thread  *thread
	replica *replica // nil for somebody else
	kind    stepKind
	what    string
	do      func() (string, error)
	timer   bool  // a timer fires
	err     error // set before done is closed
	done    chan struct{}
}

// choice is a step with an outcome.
type choice struct {
	step    *step
	outcome outcome
}

func (c choice) String() string { return c.step.thread.name + ": " + c.step.what + string(c.outcome) }

// world is one run of a scenario. The scheduler's goroutine owns everything but
// the field that mu guards; the threads touch their world in steps only.
type world struct {
	server   *apiServer
	facts    *facts
	replicas []*replica
	threads  []*thread
	target   string // namespace of the signal's target; may be empty
	// slowReads separates the moment of a read from the arrival of its response.
	slowReads bool
	// lasting means that replicas do not die: a failed step ends the only
	// attempt of a thread just the same.
	lasting bool
	budget  int // faults that may still be injected
	// impatience is how often a timer may still fire while others could act:
	// how often somebody is held up for longer than others wait for it.
	impatience int
	trace      []string // the steps of the run

	mu      sync.Mutex
	pending []*step // guarded by mu
}

// scenario describes the runs that an explorer makes.
type scenario struct {
	defect defect
	// faults is how many faults each run may have.
	faults int
	// impatience is how often somebody may be held up for longer than others wait.
	impatience int
	// prompt means that nobody is held up.
	prompt bool
	// setup fills the cluster and adds threads.
	setup func(w *world)
}

// chooser picks one of the choices; false ends the run early.
type chooser func(w *world, choices []choice) (int, bool)

// run executes a scenario once, in a bubble in which all goroutines but the
// scheduler's are blocked whenever it picks a step. Nothing depends on timing.
func (s scenario) run(t *testing.T, choose chooser) *world {
	t.Helper()
	w := &world{server: newAPIServer(s.defect), budget: s.faults, impatience: s.impatience}
	w.facts = newFacts(w)
	synctest.Test(t, func(t *testing.T) {
		s.setup(w)
		complete := w.schedule(t.Context(), w.threads, choose)
		if complete && w.facts.violation == nil {
			w.settle(t.Context())
		}
		w.abandon()
	})
	return w
}

func (w *world) schedule(ctx context.Context, threads []*thread, choose chooser) bool {
	for _, t := range threads {
		go t.run(ctx)
	}
	for {
		synctest.Wait()
		choices := w.choices()
		if len(choices) == 0 {
			w.facts.requireDone(threads)
			return true
		}
		at, ok := choose(w, choices)
		if !ok {
			return false
		}
		w.take(choices[at])
		w.facts.check()
		if w.facts.violation != nil {
			return false
		}
	}
}

// choices lists what can happen next, in a fixed order.
func (w *world) choices() []choice {
	w.mu.Lock()
	pending := slices.Clone(w.pending)
	w.mu.Unlock()
	slices.SortFunc(pending, func(a, b *step) int { return cmp.Compare(a.thread.name, b.thread.name) })
	// A step that others cannot observe need not be ordered with theirs.
	if at := slices.IndexFunc(pending, func(s *step) bool { return s.kind == stepLocal || s.kind == stepAudit }); at >= 0 {
		pending = pending[at : at+1]
	}
	others := slices.ContainsFunc(pending, func(s *step) bool { return !s.timer })
	var all []choice
	for _, s := range pending {
		if s.timer && others && w.impatience == 0 {
			continue
		}
		all = append(all, choice{s, succeeds})
		if w.budget == 0 || s.kind == stepLocal || s.kind == stepEvent || s.replica.sound {
			continue
		}
		all = append(all, choice{s, fails})
		if !w.lasting {
			all = append(all, choice{s, dies})
		}
		if s.kind == stepWrite || s.kind == stepCreate {
			all = append(all, choice{s, loses})
		}
		if s.kind == stepCreate {
			all = append(all, choice{s, denies})
		}
	}
	return all
}

// take lets a choice happen.
func (w *world) take(c choice) {
	s := c.step
	result := ""
	if s.timer && w.othersWait() {
		w.impatience--
	}
	if s.thread.arriving && s.kind != stepLocal {
		s.thread.arriving, s.thread.usable = false, w.usable()
	}
	if c.outcome == succeeds || c.outcome == loses {
		result, s.err = s.do()
	}
	if c.outcome != succeeds {
		w.budget--
		s.replica.faults++
		s.err = errLost
	}
	if c.outcome == denies {
		s.err = apierrors.NewForbidden(schema.GroupResource{}, "", errLost)
	}
	s.thread.steps++
	entry := c.String()
	if s.err != nil {
		entry += " -> " + reason(s.err)
	} else if result != "" {
		entry += " -> " + result
	}
	w.trace = append(w.trace, entry)
	if s.replica != nil {
		s.replica.history = append(s.replica.history, entry)
	}
	if c.outcome == dies {
		w.kill(s.replica)
		return
	}
	w.release(s)
}

// othersWait reports whether anybody else could take a step than timers.
func (w *world) othersWait() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.pending, func(s *step) bool { return !s.timer })
}

func reason(err error) string {
	if r := apierrors.ReasonForError(err); r != "" {
		return string(r)
	}
	return err.Error()
}

func (w *world) release(s *step) {
	w.mu.Lock()
	w.pending = slices.DeleteFunc(w.pending, func(p *step) bool { return p == s })
	w.mu.Unlock()
	close(s.done)
}

// kill ends a replica: whatever its threads do from now on has no effect.
func (w *world) kill(r *replica) {
	r.dead = true
	w.mu.Lock()
	pending := slices.Clone(w.pending)
	w.mu.Unlock()
	for _, s := range pending {
		if s.replica == r {
			s.err = errDead
			w.release(s)
		}
	}
}

// abandon ends all threads that are left, so that the bubble can end.
func (w *world) abandon() {
	for {
		synctest.Wait()
		w.mu.Lock()
		pending := slices.Clone(w.pending)
		w.mu.Unlock()
		if len(pending) == 0 {
			return
		}
		for _, r := range w.replicas {
			w.kill(r)
		}
		for _, s := range pending {
			if s.replica == nil {
				s.err = errDead
				w.release(s)
			}
		}
	}
}

// step asks the scheduler for a step and waits for it. A dead replica does
// nothing; its threads run on until they notice.
func (w *world) step(ctx context.Context, r *replica, kind stepKind, what string, do func() (string, error)) error {
	if r != nil && r.dead {
		return errDead
	}
	s := &step{thread: threadOf(ctx), replica: r, kind: kind, what: what, do: do, done: make(chan struct{})}
	w.ask(s)
	<-s.done
	return s.err
}

func (w *world) ask(s *step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(w.pending, s)
}

// settle lets a new replica, whose cache is complete, receive the signal twice
// without faults. Whatever happened before, it must find or create one request.
func (w *world) settle(ctx context.Context) {
	w.budget = 0
	r := w.newReplica("last")
	last := w.add("last", r, syncCache, deliver, syncCache, deliver)
	first := func(*world, []choice) (int, bool) { return 0, true }
	if w.schedule(ctx, []*thread{last}, first) {
		w.facts.checkSettled()
	}
}

// add adds a thread; the replica is nil for acts of somebody else.
func (w *world) add(name string, r *replica, script ...action) *thread {
	t := &thread{world: w, name: name, replica: r, script: script}
	w.threads = append(w.threads, t)
	return t
}

func (w *world) finished(t *thread) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.done = true
}

// over reports whether a thread will never do anything again.
func (t *thread) over() bool {
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	return t.done || (t.replica != nil && t.replica.dead)
}

// state identifies everything that the future of the run depends on: the
// stored objects, what each thread has seen, and what the invariants remember.
func (w *world) state() uint64 {
	hash := fnv.New64a()
	for _, key := range sortedKeys(w.server.objects) {
		o := w.server.objects[key]
		fmt.Fprintf(hash, "%s %s@%s;", key, o.GetUID(), o.GetResourceVersion())
		if r, ok := o.(*v1alpha1.RemediationRequest); ok {
			fmt.Fprintf(hash, "%v %v %v;", r.Status.Phase, r.Status.CompletedAt, r.DeletionTimestamp)
		}
	}
	for _, l := range w.server.leases() {
		fmt.Fprintf(hash, "%v %v %s;", l.Annotations, *l.Spec.LeaseTransitions, *l.Spec.HolderIdentity)
	}
	for _, key := range sortedKeys(w.server.versions) {
		fmt.Fprintf(hash, "%s=%d;", key, w.server.versions[key])
	}
	for _, t := range w.threads {
		if t.over() {
			continue // what it did is in the stored objects and the facts
		}
		fmt.Fprintf(hash, "%s %d %v;", t.name, t.steps, slices.Sorted(maps.Keys(t.usable)))
		if t.replica != nil {
			fmt.Fprintf(hash, "%s;", strings.Join(t.replica.history, ";"))
		}
	}
	fmt.Fprintf(hash, "%d %d %s", w.budget, w.impatience, w.facts.digest())
	return hash.Sum64()
}

// spec is the signal that all threads send.
func (w *world) spec() v1alpha1.RemediationRequestSpec {
	return v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
		SignalFingerprint: modelFingerprint, SignalName: "A",
		TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "p", Namespace: w.target},
	}}
}

// usable are the UIDs of requests that the register names and that take signals now.
func (w *world) usable() map[types.UID]bool {
	uids := map[types.UID]bool{}
	for _, r := range w.server.requests() {
		cooled := r.Status.CompletedAt != nil && !modelNow().Before(r.Status.CompletedAt.Add(modelCoolDown))
		if r.DeletionTimestamp.IsZero() && (!r.Status.Phase.Terminal() || !cooled) && w.registered(r) {
			uids[r.UID] = true
		}
	}
	return uids
}

// registered reports whether the register names a request.
func (w *world) registered(request *v1alpha1.RemediationRequest) bool {
	for _, lease := range w.server.leases() {
		if r := signalregister.NewRecord(lease); r.Names(request) {
			return true
		}
	}
	return false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
