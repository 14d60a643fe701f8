package webhook

import (
	"sync"

	"k8s.io/utils/lru"
)

const (
	// maxDeliveries bounds the bodies that are remembered.
	maxDeliveries = 4096
	// maxSettled bounds the results that are remembered, of all bodies together.
	maxSettled = 20_000
)

// deliveries remembers the bodies that arrived lately, so that a sender's retry
// of a body that failed in part processes the rest only. The memory is this
// process's: elsewhere a retry is processed in full, and its events have the
// same ids. It is safe for concurrent use.
type deliveries struct {
	mu      sync.Mutex
	known   *lru.Cache // guarded by mu: from ids of deliveries to *delivery
	settled int        // guarded by mu: results in known
}

// delivery is what became of a body.
type delivery struct {
	// answered means that the sender got an answer about every signal.
	answered bool
	// settled are the results of the signals that did not fail, by their index.
	settled map[int]result
}

func newDeliveries() *deliveries {
	d := &deliveries{}
	d.known = lru.NewWithEvictionFunc(maxDeliveries, func(_ lru.Key, value any) {
		if evicted, ok := value.(*delivery); ok {
			d.settled -= len(evicted.settled) // entries come and go under the lock only
		}
	})
	return d
}

// get returns what became of a body before; the zero delivery if that is unknown.
func (d *deliveries) get(id string) delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, _ := d.known.Get(id)
	if found, ok := known.(*delivery); ok {
		return *found
	}
	return delivery{}
}

// answer notes that every signal of a body has its answer.
func (d *deliveries) answer(id string) { d.put(id, &delivery{answered: true}) }

// fail notes the results of those signals of a body that did not fail.
func (d *deliveries) fail(id string, settled map[int]result) { d.put(id, &delivery{settled: settled}) }

func (d *deliveries) put(id string, now *delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known.Remove(id)
	if d.settled+len(now.settled) > maxSettled {
		now.settled = nil // the retry is processed in full
	}
	d.settled += len(now.settled)
	d.known.Add(id, now)
}
