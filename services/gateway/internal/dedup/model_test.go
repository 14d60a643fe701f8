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

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/dedup"
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
	createByHand = somebody("a request is created by hand", func(w *world) {
		r := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{
			Namespace: modelNamespace, Name: "by-hand", UID: "by-hand", CreationTimestamp: metav1.NewTime(modelNow()),
		}}
		r.Spec.SignalFingerprint = modelFingerprint
		w.server.store(requestKey(r), r)
		w.facts.byHand[r.UID] = true
		w.facts.appeared(r)
	})
)

// addOldLease adds the Lease of a problem that came up for the last time a
// month ago, and whose third request was deleted.
func (w *world) addOldLease() {
	const uid = types.UID("old")
	transitions, at := int32(2), metav1.NewMicroTime(modelNow().Add(-31*24*time.Hour))
	holder := dedup.Name(modelFingerprint, uid, transitions)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: modelNamespace, Name: dedup.LeaseName(modelFingerprint), UID: uid,
			Annotations: map[string]string{
				"kubernaut.ai/signal-fingerprint": modelFingerprint,
				"kubernaut.ai/request-namespace":  modelNamespace,
				"kubernaut.ai/request-uid":        "gone",
			},
		},
		Spec: coordinationv1.LeaseSpec{LeaseTransitions: &transitions, HolderIdentity: &holder, AcquireTime: &at, RenewTime: &at},
	}
	w.server.store("lease "+modelNamespace+"/"+lease.Name, lease)
	w.facts.leaseWritten(lease)
}

// addOldRequest adds such a Lease whose request still exists, and is open.
func (w *world) addOldRequest() {
	w.addOldLease()
	for _, lease := range w.server.leases() {
		r := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{
			Namespace: modelNamespace, Name: *lease.Spec.HolderIdentity, UID: "gone",
			Labels: map[string]string{"app.kubernetes.io/managed-by": "kubernaut-gateway"},
		}}
		r.Spec = w.spec()
		w.server.store(requestKey(r), r)
		w.facts.audited[r.UID] = true
	}
}

// addUnusedOldLease adds such a Lease whose current name was never used.
func (w *world) addUnusedOldLease() {
	w.addOldLease()
	for _, stored := range w.server.leases() {
		lease := stored.DeepCopy()
		*lease.Spec.LeaseTransitions++
		w.server.store("lease "+modelNamespace+"/"+lease.Name, lease)
	}
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

// sweptLease is a Lease that may be swept while a request is created under it.
func sweptLease(w *world) {
	w.addUnusedOldLease()
	w.add("a", w.newReplica("a"), deliver)
	w.add("b", w.newReplica("b"), sweep, sweep)
}

func TestProtocolKeepsItsPromisesInEveryInterleaving(t *testing.T) {
	t.Parallel()
	tests := map[string]scenario{
		"two first signals":          {setup: twoReplicas()},
		"two first signals, a fault": {faults: 1, setup: twoReplicas()},
		"two first signals, a fault and retries": {faults: 1, setup: func(w *world) {
			w.add("a", w.newReplica("a"), deliverPersistently)
			w.add("b", w.newReplica("b"), deliver).replica.sound = true
		}},
		"two first signals, a deletion":                    {setup: twoReplicas(remove)},
		"two first signals, a deletion, a fault":           {faults: 1, setup: twoReplicas(remove)},
		"two first signals, a deletion that takes time":    {setup: twoReplicas(beginRemoval)},
		"two first signals, a finished request":            {setup: twoReplicas(finish)},
		"a duplicate of a cached request, deleted, fault":  {faults: 1, setup: creatorAndFollower(remove)},
		"a duplicate of a cached request, finished, fault": {faults: 1, setup: creatorAndFollower(finish)},
		"two first signals, a request by hand":             {setup: creatorAndFollower(createByHand)},
		"two first signals, a namespace that goes away": {setup: func(w *world) {
			w.target = "prod"
			w.server.store("namespace prod", &metav1.PartialObjectMetadata{})
			twoReplicas(removeNamespace)(w)
		}},
		"a resolved signal, a namespace that goes away": {setup: func(w *world) {
			w.target = "prod"
			w.server.store("namespace prod", &metav1.PartialObjectMetadata{})
			w.add("a", w.newReplica("a"), deliver, deliver)
			w.add("b", w.newReplica("b"), resolve)
			w.add("somebody", nil, removeNamespace)
		}},
		"a problem that comes back after a month, two sweeps": {faults: 1, setup: sweptLease},
		"an old request that is open, a sweep": {setup: func(w *world) {
			w.addOldRequest()
			w.add("a", w.newReplica("a"), deliver)
			w.add("b", w.newReplica("b"), sweep)
		}},
		"a problem that comes back twice after a month, a sweep": {setup: func(w *world) {
			w.addOldLease()
			twoReplicas()(w)
			w.add("c", w.newReplica("c"), sweep)
		}},
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, count := exhaust(t, s)
			requireNone(t, w)
			t.Logf("%d runs, %d states", count.runs, count.states)
		})
	}
}

func TestProtocolKeepsItsPromisesInRandomInterleavings(t *testing.T) {
	t.Parallel()
	tests := map[string]scenario{
		"three replicas, deletions": {faults: 2, setup: func(w *world) {
			for _, name := range []string{"a", "b", "c"} {
				w.add(name, w.newReplica(name), deliverPersistently, syncCache, deliverPersistently)
			}
			w.add("somebody", nil, remove, beginRemoval, remove)
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
		unconditionalUpdates: {scenario{setup: twoReplicas(remove)}, "belongs to"},
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
