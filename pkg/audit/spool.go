package audit

import "github.com/google/uuid"

// Spool persists events until they are terminal, and rejected events until
// somebody acknowledges them. Package spool has the implementation to use; the
// interface is for tests and for other media.
//
// A spool belongs to one store: New takes it over, and the store's Close closes
// it. Append, Release and Close are never called at the same time as each other;
// everything else may be called at any time, from any goroutine.
type Spool interface {
	// Append persists events at the positions after the newest, and returns the
	// first of these. It returns after the medium has confirmed them: they survive
	// the death of the process and the loss of power. Either all of them are
	// persisted or an error is returned; after an error they may, but need not,
	// come back when the spool is opened again, and what was persisted before is
	// unharmed. An error that wraps ErrFull says that there is no space, and that
	// none of them is persisted or will come back. If the medium is found full
	// after something of them was written, the error wraps ErrInDoubt instead.
	//
	// terminal is recorded together with the events, without its own write:
	// positions up to it do not come back when the spool is opened again.
	Append(events []Event, terminal uint64) (first uint64, err error)

	// Read returns up to so many events and bytes of footprint, oldest first,
	// starting at the first position that is retained and not below from. It
	// returns at least one event if any exists. It leaves out events whose
	// contents the medium has lost; damaged counts those in the range, each once,
	// and is valid even if err is non-nil.
	Read(from uint64, events, bytes int) (read []SpooledEvent, damaged int, err error)

	// Release marks everything up to a position as terminal, so that its space can
	// be used again. It need not take effect on disk at once.
	Release(upTo uint64) error

	// State describes the events that are not released. It never waits for the medium.
	State() SpoolState

	// Quarantine persists rejected events. An event that is there already, by its
	// id, stays as it is. The error wraps ErrFull when there is no space.
	//
	// A position in it becomes terminal: the event does not come back when the
	// spool is opened again, neither before it is discarded nor after. An entry of
	// code damaged stands for the events that State counts as lost: the next time
	// the spool is opened these are not counted again.
	Quarantine(rejected []Quarantined) error

	// Quarantined lists the rejected events, oldest first. Their number and size
	// are bounded. It leaves out what the medium has lost of them, which is part
	// of State's damage; with an error it returns the events that could be read.
	Quarantined() ([]Quarantined, error)

	// Discard removes rejected events by their id, durably. After an error they may,
	// but need not, be there when the spool is opened again.
	Discard(ids []uuid.UUID) error

	// Close durably forgets what was released, and closes the medium. Calling it
	// again does nothing.
	Close() error
}

// SpooledEvent is an event with its place in the spool.
type SpooledEvent struct {
	Position uint64
	Event    Event
}

// SpoolState describes the events of a spool that are not released.
type SpoolState struct {
	// First and Last are the positions of the oldest and the newest; First is
	// Last+1 where there are none. Positions begin at 1 and are never used twice.
	First, Last uint64
	// Events are how many there are, EventBytes the sum of their footprints.
	Events, EventBytes int
	// Bytes is the size on the medium, MaxBytes its bound; both count the
	// segments of the log, not the quarantine.
	Bytes, MaxBytes int64
	// Damage is what could not be read back when the spool was opened.
	Damage SpoolDamage
}

// SpoolDamage is what a medium lost.
type SpoolDamage struct {
	// Events are the events known to be gone.
	Events int
	// Bytes were not readable as events and were left out: behind the last whole
	// record of a log they may be part of an event that was never accepted.
	Bytes int64
	// Detail names the places, for people; empty without damage.
	Detail string
}
