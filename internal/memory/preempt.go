package memory

import "slices"

// preempt asks for so much memory back, for an account that is the senior of its
// caller: first from callers that would use more than its own even afterwards,
// and then from the other accounts of its own caller. The youngest account of a
// caller goes first. It is called with the mutex, and does not wait.
func (a *Account) preempt(missing int64) {
	for missing -= a.budget.promised(); missing > 0; {
		victim := a.victim(missing)
		if victim == nil {
			return
		}
		victim.preempted = true
		missing -= victim.used
		victim.abort()
	}
	// An account that waits for memory notices that it has to go.
	close(a.budget.changed)
	a.budget.changed = make(chan struct{})
}

// promised is the memory of preempted accounts that are not closed yet.
func (b *Budget) promised() int64 {
	var sum int64
	for _, c := range b.callers {
		for _, a := range c.accounts {
			if a.preempted {
				sum += a.used
			}
		}
	}
	return sum
}

func (a *Account) victim(missing int64) *Account {
	var most *caller
	for _, c := range a.budget.callers {
		if c != a.caller && c.used > a.caller.used+missing && (most == nil || c.used > most.used) && c.youngest(nil) != nil {
			most = c
		}
	}
	if most != nil {
		return most.youngest(nil)
	}
	return a.caller.youngest(a)
}

// youngest returns the youngest account that holds memory and can return it,
// other than except.
func (c *caller) youngest(except *Account) *Account {
	for _, a := range slices.Backward(c.accounts) {
		if a != except && a.abort != nil && !a.preempted && a.used > 0 {
			return a
		}
	}
	return nil
}
