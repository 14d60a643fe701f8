package dedup_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
	"kubernaut.ai/services/gateway/internal/dedup"
)

// facts is the reference model: what the protocol has promised so far in a
// run, and the first promise that it broke.
type facts struct {
	world *world
	// names are the objects that replicas created, by name.
	names map[string]types.UID
	// openings are the names that the register gave, each with its opening.
	openings map[string]string
	// named are the requests that the register named while they existed.
	named map[types.UID]bool
	// audited are the requests whose creation is recorded.
	audited map[types.UID]bool
	// returned are the requests that senders were told of.
	returned map[types.UID]bool
	// firsts are the requests that senders were told they created.
	firsts map[types.UID]bool
	// byHand are the requests that somebody else created.
	byHand map[types.UID]bool
	// existed are the keys of all requests that replicas created.
	existed   map[types.NamespacedName]bool
	violation error
}

func newFacts(w *world) *facts {
	return &facts{
		world: w, names: map[string]types.UID{}, openings: map[string]string{}, named: map[types.UID]bool{},
		audited: map[types.UID]bool{}, returned: map[types.UID]bool{}, firsts: map[types.UID]bool{}, byHand: map[types.UID]bool{},
		existed: map[types.NamespacedName]bool{},
	}
}

func (f *facts) violatef(format string, args ...any) {
	if f.violation == nil {
		f.violation = fmt.Errorf(format, args...)
	}
}

func (f *facts) digest() string {
	names := make([]string, 0, len(f.names))
	for _, name := range sortedKeys(f.names) {
		names = append(names, name+"="+string(f.names[name]))
	}
	return fmt.Sprint(names, sortedKeys(f.openings), slices.Sorted(maps.Keys(f.named)), slices.Sorted(maps.Keys(f.audited)),
		slices.Sorted(maps.Keys(f.returned)), slices.Sorted(maps.Keys(f.firsts)))
}

// claimed reports whether anybody outside of one attempt may rely on a request.
func (f *facts) claimed(uid types.UID) bool { return f.audited[uid] || f.returned[uid] }

// created is called when a replica has created a request.
func (f *facts) created(t *thread, request *v1alpha1.RemediationRequest) {
	if !t.received[client.ObjectKeyFromObject(request)] {
		f.violatef("%s created %s before it recorded the signal", t.name, request.Name)
	}
	if before, ok := f.names[request.Name]; ok {
		f.violatef("name %s was given to %s and then to %s", request.Name, before, request.UID)
	}
	f.names[request.Name] = request.UID
	f.existed[client.ObjectKeyFromObject(request)] = true
}

// observe notes which requests the register names, and which of them take
// signals during the current calls.
func (f *facts) observe() {
	for _, r := range f.world.server.requests() {
		if f.world.registered(r) {
			f.named[r.UID] = true
		}
	}
	for uid := range f.world.usable() {
		for _, t := range f.world.threads {
			if t.usable != nil {
				t.usable[uid] = true
			}
		}
	}
}

// resolved is called when a call of Current has returned. It describes the result.
func (f *facts) resolved(t *thread, key types.NamespacedName, err error) string {
	switch {
	case err != nil && t.replica.faults == 0:
		f.violatef("%s failed without a fault: %v", t.name, err)
	case err == nil && key.Name != "" && !f.existed[key]:
		f.violatef("%s returned %s, which never existed", t.name, key)
	}
	return key.String()
}

// leaseWritten is called when a replica has changed a Lease. before is nil for a new one.
func (f *facts) leaseWritten(before, after *coordinationv1.Lease) {
	r := signalregister.NewRecord(after)
	name, opening := r.Request().Name, fmt.Sprint(after.UID, "/", r.Transitions())
	if earlier, ok := f.openings[name]; ok && earlier != opening {
		f.violatef("the register gave the name %s in %s and again in %s", name, earlier, opening)
	}
	f.openings[name] = opening
	if before == nil || signalregister.NewRecord(before).Request().Name == name {
		return
	}
	passed := signalregister.NewRecord(before)
	for _, request := range f.world.server.requests() {
		if passed.Names(request) && passed.State() == signalregister.Open && request.Status.Phase.Terminal() && !f.audited[request.UID] {
			f.violatef("the register passed %s (%s), whose creation is not recorded", request.Name, request.UID)
		}
	}
}

// recorded is called when the creation of a request is on the audit trail.
func (f *facts) recorded(request *v1alpha1.RemediationRequest) {
	if !f.named[request.UID] {
		f.violatef("the creation of %s (%s) was recorded, but the register never named it", request.Name, request.UID)
	}
	f.audited[request.UID] = true
}

// deletedByReplica is called when a replica has deleted an object.
func (f *facts) deletedByReplica(object client.Object) {
	switch o := object.(type) {
	case *v1alpha1.RemediationRequest:
		if f.claimed(o.UID) || f.byHand[o.UID] {
			f.violatef("a replica deleted request %s (%s), on which others rely", o.Name, o.UID)
		}
	case *coordinationv1.Lease:
		current := signalregister.NewRecord(o).Request()
		for _, r := range f.world.server.requests() {
			if client.ObjectKeyFromObject(r) == current {
				f.violatef("a replica deleted the lease of request %s, which exists", current)
			}
		}
	}
}

// responded is called when a call of Open has returned. It describes the result.
func (f *facts) responded(t *thread, result dedup.Result, err error) string {
	if err != nil {
		if errors.Is(err, dedup.ErrContended) || t.replica.faults == t.faults {
			f.violatef("%s failed without a fault: %v", t.name, err)
		}
		t.usable = nil
		return "error"
	}
	r := result.Request
	switch {
	case f.byHand[r.UID]:
		f.violatef("%s returned %s, which was created by hand", t.name, r.Name)
	case !f.audited[r.UID]:
		f.violatef("%s returned %s (%s), whose creation is not recorded", t.name, r.Name, r.UID)
	case result.Created && !t.received[client.ObjectKeyFromObject(r)]:
		f.violatef("%s created %s, but did not record the signal under that name", t.name, r.Name)
	case !t.usable[r.UID]:
		f.violatef("%s returned %s (%s), which took no signals at any time during the call", t.name, r.Name, r.UID)
	case result.Created && f.firsts[r.UID]:
		f.violatef("two signals created %s", r.Name)
	}
	f.returned[r.UID] = true
	if result.Created {
		f.firsts[r.UID] = true
	}
	t.usable = nil
	return fmt.Sprintf("%s (%s), created: %v", r.Name, r.UID, result.Created)
}

// check runs after every step: at most one open request that anybody relies on.
func (f *facts) check() {
	f.observe()
	var open []string
	for _, r := range f.world.server.requests() {
		if isOpen(r) && f.claimed(r.UID) {
			open = append(open, fmt.Sprintf("%s (%s)", r.Name, r.UID))
		}
	}
	if len(open) > 1 {
		f.violatef("%d open requests at a time: %v", len(open), open)
	}
}

// checkSettled runs at the end: one open request is left, and the register names it.
func (f *facts) checkSettled() {
	var open []string
	for _, r := range f.world.server.requests() {
		if !isOpen(r) || f.byHand[r.UID] {
			continue
		}
		open = append(open, fmt.Sprintf("%s (%s)", r.Name, r.UID))
		if !f.world.registered(r) {
			f.violatef("the register does not name %s at the end", r.Name)
		}
	}
	if len(open) != 1 {
		f.violatef("%d open requests at the end: %v", len(open), open)
	}
}

// requireDone finds threads that wait for something that never happens.
func (f *facts) requireDone(threads []*thread) {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	for _, t := range threads {
		if !t.done {
			f.violatef("%s is stuck", t.name)
		}
	}
}
