package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrBusy means that an account got no memory in time, or had to give back what
// it held. There is memory again when other requests have finished.
var ErrBusy = errors.New("the memory for requests is in use")

var (
	errWaited    = fmt.Errorf("%w, and none was returned in time", ErrBusy)
	errFull      = fmt.Errorf("%w: this request needs more than there is", ErrBusy)
	errPreempted = fmt.Errorf("%w: this request held more than its caller's share, which others needed", ErrBusy)
)

// patience is how long an account waits for memory, all its waits together.
const patience = 4 * time.Second

// Budget is an amount of memory that callers share. It is safe for concurrent use.
//
// A caller may use at most as much as is left for others (a dynamic threshold:
// Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
// switches", 1998), so one caller alone has half of the budget, and a new caller
// always finds memory. One account of each caller, its senior, is exempt: it may
// use all that is left, and takes back what others of its caller, or callers that
// use more, hold and can return. So requests that hold part of what they need
// never wait for each other for good.
type Budget struct {
	size int64

	mu      sync.Mutex
	used    int64              // guarded by mu
	callers map[string]*caller // guarded by mu: those with accounts
	changed chan struct{}      // guarded by mu: closed and replaced when memory is returned
	waits   uint64             // guarded by mu: accounts that had to wait
	refused uint64             // guarded by mu: how often an account got ErrBusy
	// exhausted means that report was told so; guarded by mu.
	exhausted bool
	report    func(exhausted bool) // nil, or called with mu
}

// caller is guarded by the mutex of its budget.
type caller struct {
	name     string
	used     int64
	accounts []*Account // oldest first
	senior   *Account   // nil if no account had to wait
}

// Account is the memory of one request. Its methods are for one goroutine.
type Account struct {
	budget *Budget
	caller *caller
	left   time.Duration // that it may still wait

	// Guarded by the mutex of the budget.
	used      int64
	abort     func() // nil if the account returns nothing before it is closed
	waiting   bool
	preempted bool
	closed    bool
}

// NewBudget makes a budget of so many bytes.
func NewBudget(size int64) *Budget {
	return &Budget{size: size, callers: map[string]*caller{}, changed: make(chan struct{})}
}

// Open makes an account of a caller. If abort is not nil, the budget may call it
// once, in any goroutine, to take the account's memory back: it must not block,
// and must make the request end soon, for instance by cutting its connection.
// The account must be closed.
func (b *Budget) Open(name string, abort func()) *Account {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.callers[name]
	if c == nil {
		c = &caller{name: name}
		b.callers[name] = c
	}
	a := &Account{budget: b, caller: c, left: patience, abort: abort}
	c.accounts = append(c.accounts, a)
	return a
}

// Size is the budget in bytes.
func (b *Budget) Size() int64 { return b.size }

// Used is the memory in use, in bytes.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Waits counts how often an account had to wait for memory, Refused how many
// got none.
func (b *Budget) Waits() (waits, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waits, b.refused
}

// Take takes memory. It waits for it, and returns an error that wraps ErrBusy if
// that takes too long, or the error of ctx.
func (a *Account) Take(ctx context.Context, n int64) error {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	for first := true; ; first = false {
		switch err := a.try(n); {
		case err == nil:
			return nil
		case !errors.Is(err, errWaited) || a.left <= 0:
			b.noteRefusal()
			return err
		}
		if first {
			b.waits++
		}
		if err := a.wait(ctx); err != nil {
			return err
		}
	}
}

// Hurry bounds how long the account still waits, for one that meanwhile holds
// something else that others need.
func (a *Account) Hurry(patience time.Duration) { a.left = min(a.left, patience) }

// Return returns part of the memory.
func (a *Account) Return(n int64) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	a.release(min(n, a.used))
}

// Keep makes the account keep its memory until it is closed. It returns an error
// if the memory was asked back before.
func (a *Account) Keep() error { return a.OnAbort(nil) }

// OnAbort replaces what Open was given. It returns an error if the memory was
// asked back before.
func (a *Account) OnAbort(abort func()) error {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.preempted {
		return errPreempted
	}
	a.abort = abort
	return nil
}

// Preempted returns an error that wraps ErrBusy if the memory was asked back.
func (a *Account) Preempted() error {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.preempted {
		return errPreempted
	}
	return nil
}

// Close returns the memory. It may be called more than once.
func (a *Account) Close() {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.closed {
		return
	}
	a.closed = true
	c := a.caller
	for i, other := range c.accounts {
		if other == a {
			c.accounts = append(c.accounts[:i], c.accounts[i+1:]...)
			break
		}
	}
	if c.senior == a {
		c.senior = nil
	}
	if len(c.accounts) == 0 {
		delete(b.callers, c.name)
	}
	a.release(a.used)
}

// release is called with the mutex.
func (a *Account) release(n int64) {
	a.used -= n
	a.caller.used -= n
	a.budget.used -= n
	a.budget.noteRelease()
	close(a.budget.changed)
	a.budget.changed = make(chan struct{})
}

// try takes memory without waiting; errWaited means that waiting may help. It is
// called with the mutex.
func (a *Account) try(n int64) error {
	b, c := a.budget, a.caller
	switch {
	case a.preempted:
		return errPreempted
	case n > b.size-a.used:
		return errFull
	}
	free := b.size - b.used
	fits := c.used+n <= free-n
	if !fits && c.senior == nil {
		c.senior = c.fullest(a)
	}
	if !fits && c.senior == a {
		fits = free >= n
		if !fits {
			a.preempt(n - free)
		}
	}
	if !fits {
		return errWaited
	}
	a.used += n
	c.used += n
	b.used += n
	return nil
}

// fullest is the account with the most memory among those that wait, and a: the
// next senior. It is called with the mutex.
func (c *caller) fullest(a *Account) *Account {
	most := a
	for _, other := range c.accounts {
		if other.waiting && !other.preempted && other.used > most.used {
			most = other
		}
	}
	return most
}

// wait waits for returned memory. It is called with the mutex, which it releases
// meanwhile.
func (a *Account) wait(ctx context.Context) error {
	b := a.budget
	changed := b.changed
	a.waiting = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		a.waiting = false
	}()
	began := time.Now()
	timer := time.NewTimer(a.left)
	defer timer.Stop()
	var err error
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		err = fmt.Errorf("wait for memory: %w", context.Cause(ctx))
	}
	a.left -= time.Since(began)
	return err
}
