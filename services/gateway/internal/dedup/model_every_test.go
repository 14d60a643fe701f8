//go:build !race

package dedup_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// One step runs at a time, so the race detector has nothing to find here, and would take minutes: it watches the random
// interleavings.
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
		// A creator may be stopped between its two writes while the request is
		// opened by another, finishes, and is removed by signal processing.
		"a name that somebody takes and gives back":               {prompt: true, setup: twoReplicas(takeName, remove)},
		"two first signals, a finished request that is collected": {setup: twoReplicas(finish, collectAtOnce)},
		"a late request that is found": {faults: 1, impatience: 1, setup: func(w *world) {
			w.add("a", w.newReplica("a"), deliver)
			w.add("b", w.newReplica("b"), deliver, syncCache, sweep).replica.sound = true
		}},
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
		"a lost response, a deletion and a retry": {faults: 1, setup: func(w *world) {
			w.add("a", w.newReplica("a"), deliverPersistently, deliverPersistently)
			w.add("somebody", nil, remove)
		}},
		"a creation that arrives late, two signals, a fault": {faults: 1, setup: suspectLease},
		"an old request that is open, a sweep": {setup: func(w *world) {
			w.addOldRequest()
			w.add("a", w.newReplica("a"), deliver)
			w.add("b", w.newReplica("b"), sweep)
		}},
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if s.faults == 0 && !s.prompt {
				s.impatience = 1 // a creator that is held up; with faults, one that dies
			}
			w, count := exhaust(t, s)
			requireNone(t, w)
			t.Logf("%d runs, %d states", count.runs, count.states)
		})
	}
}
