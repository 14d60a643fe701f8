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

// settled are the results of those signals of a body that did not fail, by their index.
type settled map[int]result

// deliveries remembers the bodies that failed in part lately, so that the
// sender's retry processes the rest only. The memory is this process's:
// elsewhere a retry is processed in full, and its events have the same ids. It is
// safe for concurrent use.
type deliveries struct {
	mu     sync.Mutex
	failed *lru.Cache // guarded by mu: from ids of deliveries to settled
	total  int        // guarded by mu: results in failed
}

func newDeliveries() *deliveries {
	d := &deliveries{}
	d.failed = lru.NewWithEvictionFunc(maxDeliveries, func(_ lru.Key, value any) {
		if evicted, ok := value.(settled); ok {
			d.total -= len(evicted) // entries come and go under the lock only
		}
	})
	return d
}

// get returns the results of an earlier attempt; none if that is unknown.
func (d *deliveries) get(id string) settled {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, _ := d.failed.Get(id)
	results, _ := known.(settled)
	return results
}

// answer forgets a body, because its sender got an answer about every signal.
func (d *deliveries) answer(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed.Remove(id)
}

// fail remembers the results of a body that failed in part, if there is room.
func (d *deliveries) fail(id string, results settled) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed.Remove(id)
	if len(results) == 0 || d.total+len(results) > maxSettled {
		return
	}
	d.total += len(results)
	d.failed.Add(id, results)
}
