package occurrence

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
)

const (
	// maxRemembered bounds the instances that a counter remembers. Forgetting one
	// counts it again, or takes a late signal for a new one.
	maxRemembered = 32_000
	// lateWindow is how long after the end of an instance a signal that it fires
	// may be a delayed one. Signals after it count: an alert whose sender was
	// away for a while fires again with the start that it had before.
	lateWindow = 5 * time.Minute
)

// instanceKey identifies an instance of a request.
type instanceKey struct {
	request  types.UID
	instance string
}

// end is when an instance ended, and when its end arrived.
type end struct{ at, seen time.Time }

// memory is what the status of requests has no room for. It is this process's:
// other replicas know less, and their counts beyond the listed instances are
// higher. It is safe for concurrent use.
type memory struct {
	beyond *lru.Cache // of instanceKey: counted, but not listed
	ended  *lru.Cache // of instanceKey to end
}

func newMemory() *memory {
	return &memory{beyond: lru.New(maxRemembered), ended: lru.New(maxRemembered)}
}

// isBeyond reports whether an instance is counted, but not listed.
func (m *memory) isBeyond(k instanceKey) bool {
	_, ok := m.beyond.Get(k)
	return ok
}

// note remembers whether an instance is counted, but not listed.
func (m *memory) note(k instanceKey, beyond bool) {
	if beyond {
		m.beyond.Add(k, nil)
	} else {
		m.beyond.Remove(k)
	}
}

// end remembers the end of an instance.
func (m *memory) end(k instanceKey, r Report) {
	at := r.EndedAt
	if at.IsZero() {
		at = r.Seen
	}
	m.ended.Add(k, end{at, r.Seen})
}

// late reports whether a firing signal was sent before the end of its instance,
// and overtaken by it.
func (m *memory) late(k instanceKey, r Report) bool {
	known, ok := m.ended.Get(k)
	if !ok {
		return false
	}
	e, _ := known.(end)
	return !r.StartsAt.After(e.at) && r.Seen.Before(e.seen.Add(lateWindow))
}
