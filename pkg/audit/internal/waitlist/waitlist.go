// Package waitlist lets many goroutines wait for one change of a state that a lock guards.
package waitlist

// List is a condition that can be awaited in a select. The zero value is ready
// to use. Its methods are called with the lock that guards the state.
type List struct{ changed chan struct{} }

// Join returns a channel that the next Wake closes.
func (l *List) Join() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// Wake lets everyone who joined look at the state again.
func (l *List) Wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
