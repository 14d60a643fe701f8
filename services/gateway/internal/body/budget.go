package body

import (
	"errors"

	"golang.org/x/sync/semaphore"
)

// ErrNoMemory means that the budget has no memory left. It has some again when
// other requests are finished.
var ErrNoMemory = errors.New("the memory for notifications is in use")

// Budget is the memory for the bodies of all requests together. It is safe for
// concurrent use.
type Budget struct {
	left *semaphore.Weighted
	used func(delta float64)
}

// NewBudget makes a budget of so many bytes. used is called with each change of
// what is in use, for a metric; it may be nil.
func NewBudget(bytes int64, used func(delta float64)) *Budget {
	if used == nil {
		used = func(float64) {}
	}
	return &Budget{left: semaphore.NewWeighted(bytes), used: used}
}

// take never waits: requests that waited for each other's memory would hold it.
func (b *Budget) take(n int64) error {
	if !b.left.TryAcquire(n) {
		return ErrNoMemory
	}
	b.used(float64(n))
	return nil
}

func (b *Budget) release(n int64) {
	b.left.Release(n)
	b.used(-float64(n))
}
