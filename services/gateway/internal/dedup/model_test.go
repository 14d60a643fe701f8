package dedup_test

import (
	"context"
	"flag"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
)

var modelSeeds = flag.Uint64("model.seeds", 200, "random runs of each larger scenario of the deduplication protocol")

// somebody acts in the cluster, in one step.
func somebody(what string, act func(w *world)) action {
	return func(ctx context.Context, t *thread) {
		_ = t.world.step(ctx, nil, stepEvent, what, func() (string, error) {
			act(t.world)
			return "", nil
		})
	}
}

// change writes a changed copy of each open request.
func (w *world) change(change func(r *v1alpha1.RemediationRequest)) {
	for _, r := range w.server.requests() {
		if isOpen(r) {
			changed := r.DeepCopy()
			change(changed)
			w.server.store(requestKey(r), changed)
		}
	}
}

func requestKey(r *v1alpha1.RemediationRequest) string {
	return "request " + r.Namespace + "/" + r.Name
}

var (
	finish = somebody("open requests finish and cool down", func(w *world) {
		end := metav1.NewMicroTime(modelNow().Add(-modelCoolDown))
		w.change(func(r *v1alpha1.RemediationRequest) {
			r.Status.Phase, r.Status.CompletedAt = v1alpha1.RemediationCompleted, &end
		})
	})
	remove = somebody("requests are deleted", func(w *world) {
		for _, r := range w.server.requests() {
			delete(w.server.objects, requestKey(r))
		}
	})
	beginRemoval = somebody("requests are being deleted", func(w *world) {
		at := metav1.NewTime(modelNow())
		w.change(func(r *v1alpha1.RemediationRequest) { r.DeletionTimestamp = &at })
	})
	removeNamespace = somebody("the target's namespace is deleted", func(w *world) {
		delete(w.server.objects, "namespace "+w.target)
		for _, r := range w.server.requests() {
			if r.Namespace == w.target {
				delete(w.server.objects, requestKey(r))
			}
		}
	})
	// collectAtOnce does in one step what collect does in several.
	collectAtOnce = somebody("ended requests are collected", func(w *world) {
		for _, r := range w.server.requests() {
			if isOpen(r) {
				continue
			}
			for _, lease := range w.server.leases() {
				if closed := lease.DeepCopy(); signalregister.NewRecord(lease).Names(r) {
					closed.Annotations["kubernaut.ai/register-state"] = string(signalregister.Closed)
					w.server.store("lease "+lease.Namespace+"/"+lease.Name, closed)
				}
			}
			delete(w.server.objects, requestKey(r))
		}
	})
	createByHand = somebody("a request is created by hand", func(w *world) {
		w.addByHand(types.NamespacedName{Namespace: modelNamespace, Name: "by-hand"})
	})
	// takeName is what somebody can do who may read the Gateway's Leases.
	takeName = somebody("somebody creates another request under the name of an opening", func(w *world) {
		for _, lease := range w.server.leases() {
			if key := signalregister.NewRecord(lease).Request(); w.server.objects["request "+key.String()] == nil {
				w.addByHand(key)
			}
		}
	})
)

// addByHand adds a request of the fingerprint that looks like the Gateway's.
func (w *world) addByHand(key types.NamespacedName) {
	r := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{
		Namespace: key.Namespace, Name: key.Name, UID: types.UID("by-hand " + key.Name), CreationTimestamp: metav1.NewTime(modelNow()),
		Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway},
	}}
	r.Spec = w.spec()
	r.Spec.Severity = "info"
	w.server.store(requestKey(r), r)
	w.facts.byHand[r.UID] = true
}

// oldName is the name of the request of an old Lease.
const oldName = "rr-0123456789ab-00000000000000000000"

// addOldLease adds the Lease of a problem that came up for the last time a
// month ago, and whose third request was removed.
func (w *world) addOldLease() {
	spec := w.spec()
	digest, err := signalregister.SpecDigest(&spec)
	if err != nil {
		panic(err)
	}
	at := metav1.NewMicroTime(modelNow().Add(-31 * 24 * time.Hour))
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: modelNamespace, Name: signalregister.LeaseName(modelFingerprint), UID: "old",
			Annotations: map[string]string{
				"kubernaut.ai/signal-fingerprint": modelFingerprint,
				"kubernaut.ai/request-namespace":  modelNamespace,
				"kubernaut.ai/spec-digest":        digest,
				"kubernaut.ai/register-state":     "open",
			},
		},
		Spec: coordinationv1.LeaseSpec{LeaseTransitions: new(int32(2)), HolderIdentity: new(oldName), AcquireTime: &at, RenewTime: &at},
	}
	w.server.store("lease "+modelNamespace+"/"+lease.Name, lease)
	w.facts.leaseWritten(nil, lease)
}

// addRequest adds the request that the old Lease names.
func (w *world) addRequest(uid types.UID) {
	r := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{
		Namespace: modelNamespace, Name: oldName, UID: uid,
		Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByGateway},
		Annotations: map[string]string{v1alpha1.AnnotationOpening: "old/" + oldName},
		Finalizers:  []string{v1alpha1.FinalizerRegister},
	}}
	r.Spec = w.spec()
	w.server.store(requestKey(r), r)
	w.facts.existed[client.ObjectKeyFromObject(r)] = true
}

// addOldRequest adds such a Lease whose request still exists, and is open.
func (w *world) addOldRequest() {
	w.addOldLease()
	w.addRequest("old request")
	w.facts.audited["old request"], w.facts.named["old request"] = true, true
}

// suspectLease is a Lease whose request was looked for in vain. Its creator died,
// but the creation may still arrive at the API server.
func suspectLease(w *world) {
	w.lasting = true
	w.addOldLease()
	for _, lease := range w.server.leases() {
		lease.Annotations["kubernaut.ai/register-state"] = string(signalregister.Suspect)
	}
	w.add("a", w.newReplica("a"), deliver)
	w.add("b", w.newReplica("b"), deliver)
	w.add("somebody", nil, somebody("the creation arrives", func(w *world) { w.addRequest("late") }))
}

// twoReplicas receive the signal at the same time, while somebody else acts.
// They are alike, so it is enough that one of them meets faults.
func twoReplicas(others ...action) func(w *world) {
	return func(w *world) {
		w.lasting = true
		w.add("a", w.newReplica("a"), deliver)
		w.add("b", w.newReplica("b"), deliver).replica.sound = true
		if len(others) > 0 {
			w.add("somebody", nil, others...)
		}
	}
}

// creatorAndFollower are a replica that creates the request, and may meet
// faults, and one whose cache may have it.
func creatorAndFollower(others ...action) func(w *world) {
	return func(w *world) {
		w.lasting = true
		w.add("a", w.newReplica("a"), deliver)
		w.add("b", w.newReplica("b"), syncCache, deliver).replica.sound = true
		w.add("somebody", nil, others...)
	}
}

// sweptLease is a Lease that may be swept while a request is opened in it.
func sweptLease(w *world) {
	w.addOldLease()
	w.add("a", w.newReplica("a"), deliver)
	w.add("b", w.newReplica("b"), sweep, sweep)
}

func TestProtocolKeepsItsPromisesInRandomInterleavings(t *testing.T) {
	t.Parallel()
	tests := map[string]scenario{
		"three first signals": {setup: func(w *world) {
			for _, name := range []string{"a", "b", "c"} {
				w.add(name, w.newReplica(name), deliver)
			}
		}},
		"three replicas, deletions": {faults: 2, setup: func(w *world) {
			for _, name := range []string{"a", "b", "c"} {
				w.add(name, w.newReplica(name), deliverPersistently, syncCache, deliverPersistently)
			}
			w.add("somebody", nil, remove, beginRemoval, remove)
		}},
		"two replicas, a name that somebody takes and gives back":   {faults: 1, setup: twoReplicas(takeName, remove)},
		"a creator that dies, a finished request that is collected": {faults: 1, setup: creatorAndFollower(finish, collectAtOnce)},
		"three replicas, finished requests that are collected": {faults: 2, setup: func(w *world) {
			for _, name := range []string{"a", "b", "c"} {
				w.add(name, w.newReplica(name), deliverPersistently, syncCache, deliverPersistently, sweep)
			}
			w.add("remediation", nil, finish, finish, finish)
			w.add("collector", w.newReplica("collector"), collect, collect, collect)
			w.add("somebody", nil, createByHand, takeName)
		}},
		"four replicas, finished requests and deletions": {faults: 3, setup: func(w *world) {
			for _, name := range []string{"a", "b", "c", "d"} {
				w.add(name, w.newReplica(name), deliverPersistently, syncCache, deliverPersistently)
			}
			w.add("remediation", nil, finish, finish)
			w.add("somebody", nil, remove, remove)
		}},
		"two senders to each of two replicas": {faults: 1, setup: func(w *world) {
			w.slowReads = true
			for _, name := range []string{"a", "b"} {
				r := w.newReplica(name)
				w.add(name+"-1", r, deliverPersistently, deliverPersistently)
				w.add(name+"-2", r, syncCache, deliverPersistently, syncCache, deliverPersistently)
			}
			w.add("somebody", nil, remove, finish)
		}},
		"an old lease, sweeps and a namespace that goes away": {faults: 2, setup: func(w *world) {
			w.target = "prod"
			w.server.store("namespace prod", &metav1.PartialObjectMetadata{})
			w.addOldLease()
			for _, name := range []string{"a", "b"} {
				w.add(name, w.newReplica(name), deliverPersistently, syncCache, deliverPersistently)
			}
			w.add("c", w.newReplica("c"), sweep, sweep)
			w.add("somebody", nil, removeNamespace, remove)
		}},
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.impatience = 3
			w, seed := sample(t, s, *modelSeeds)
			if w != nil {
				t.Logf("seed %d", seed)
			}
			requireNone(t, w)
		})
	}
}

// The model must notice a cluster that does not give the guarantees on which
// the protocol relies. README.md lists changes of the protocol that it notices.
func TestModelNoticesABrokenCluster(t *testing.T) {
	t.Parallel()
	tests := map[defect]struct {
		scenario scenario
		want     string
	}{
		unconditionalUpdates: {scenario{impatience: 1, setup: twoReplicas()}, "open requests at a time"},
		unconditionalDeletes: {scenario{setup: sweptLease}, "deleted the lease"},
		overwritingCreates:   {scenario{setup: twoReplicas()}, "open requests at a time"},
	}
	for d, test := range tests {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			test.scenario.defect = d
			w, count := exhaust(t, test.scenario)
			if w == nil {
				t.Fatalf("not noticed in %d runs", count.runs)
			}
			if !strings.Contains(w.facts.violation.Error(), test.want) {
				t.Errorf("noticed as %q, want %q", w.facts.violation, test.want)
			}
		})
	}
}
