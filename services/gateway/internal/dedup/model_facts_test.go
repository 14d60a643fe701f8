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
	"kubernaut.ai/services/gateway/internal/dedup"
)

// facts is the reference model: what the protocol has promised so far in a
// run, and the first promise that it broke.
type facts struct {
	world *world
	// owners are the objects that names belong to: by a Lease, or by the event of their creation.
	owners map[string]types.UID
	// audited are the requests whose creation is recorded.
	audited map[types.UID]bool
	// returned are the requests that senders were told of.
	returned map[types.UID]bool
	// firsts are the requests that senders were told they created.
	firsts map[types.UID]bool
	// byHand are the requests that somebody else created.
	byHand map[types.UID]bool
	// existed are the keys of all requests that ever existed.
	existed   map[types.NamespacedName]bool
	violation error
}

func newFacts(w *world) *facts {
	return &facts{
		world: w, owners: map[string]types.UID{}, audited: map[types.UID]bool{},
		returned: map[types.UID]bool{}, firsts: map[types.UID]bool{}, byHand: map[types.UID]bool{},
		existed: map[types.NamespacedName]bool{},
	}
}

func (f *facts) violatef(format string, args ...any) {
	if f.violation == nil {
		f.violation = fmt.Errorf(format, args...)
	}
}

func (f *facts) digest() string {
	owners := make([]string, 0, len(f.owners))
	for _, name := range sortedKeys(f.owners) {
		owners = append(owners, name+"="+string(f.owners[name]))
	}
	return fmt.Sprint(owners, slices.Sorted(maps.Keys(f.audited)), slices.Sorted(maps.Keys(f.returned)), slices.Sorted(maps.Keys(f.firsts)))
}

// claimed reports whether anybody outside of one attempt may rely on a request.
func (f *facts) claimed(uid types.UID) bool {
	if f.audited[uid] || f.returned[uid] {
		return true
	}
	for _, owner := range f.owners {
		if owner == uid {
			return true
		}
	}
	return false
}

// own gives a name to an object. A name has one owner forever.
func (f *facts) own(name string, uid types.UID) {
	if before, ok := f.owners[name]; ok && before != uid {
		f.violatef("name %s belongs to %s and was given to %s", name, before, uid)
	}
	f.owners[name] = uid
}

// created is called when a replica has created a request.
func (f *facts) created(t *thread, request *v1alpha1.RemediationRequest) {
	if !t.received[client.ObjectKeyFromObject(request)] {
		f.violatef("%s created %s before it recorded the signal", t.name, request.Name)
	}
	f.appeared(request)
}

// appeared adds a request to those that took signals during the current calls.
func (f *facts) appeared(request *v1alpha1.RemediationRequest) {
	f.existed[client.ObjectKeyFromObject(request)] = true
	for _, t := range f.world.threads {
		if t.usable != nil {
			t.usable[request.UID] = true
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

// leaseWritten is called when a replica has changed a Lease.
func (f *facts) leaseWritten(lease *coordinationv1.Lease) {
	if holder := lease.Spec.HolderIdentity; holder != nil {
		f.own(*holder, types.UID(lease.Annotations["kubernaut.ai/request-uid"]))
	}
}

// recorded is called when the creation of a request is on the audit trail.
func (f *facts) recorded(request *v1alpha1.RemediationRequest) {
	if f.owners[request.Name] != request.UID {
		f.violatef("the creation of %s (%s) was recorded, but the name belongs to %q", request.Name, request.UID, f.owners[request.Name])
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
		current := dedup.Name(modelFingerprint, o.UID, *o.Spec.LeaseTransitions)
		for _, r := range f.world.server.requests() {
			if r.Name == current {
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
	case !f.audited[r.UID] && !f.byHand[r.UID]:
		f.violatef("%s returned %s (%s), whose creation is not recorded", t.name, r.Name, r.UID)
	case result.Created && !t.received[client.ObjectKeyFromObject(r)]:
		f.violatef("%s returned %s, but did not record the signal under that name", t.name, r.Name)
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
	var open []string
	for _, r := range f.world.server.requests() {
		if isOpen(r) && f.claimed(r.UID) && !f.byHand[r.UID] {
			open = append(open, fmt.Sprintf("%s (%s)", r.Name, r.UID))
		}
	}
	if len(open) > 1 {
		f.violatef("%d open requests at a time: %v", len(open), open)
	}
}

// checkSettled runs at the end: one open request is left, and it has an owner.
func (f *facts) checkSettled() {
	var open []string
	for _, r := range f.world.server.requests() {
		if isOpen(r) {
			open = append(open, fmt.Sprintf("%s (%s)", r.Name, r.UID))
		}
	}
	if len(open) != 1 && len(f.byHand) == 0 {
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
