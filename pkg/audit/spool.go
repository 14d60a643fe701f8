package audit

import "github.com/google/uuid"

// Spool keeps events on disk until they are settled, and rejected events until
// somebody acknowledges them. Package spool has the one to use; the interface
// is for tests and for other media.
//
// A spool belongs to one store at a time: New takes it over, and the store's
// Close closes it. Append, Release and Close are never called at the same time
// as each other; everything else may be called at any time, from any goroutine.
type Spool interface {
	// Append keeps events durably, at the positions that follow the newest, and
	// returns the first of these. It returns after the medium has confirmed
	// them: they survive the death of the process and the loss of power. Either
	// all of them are kept or an error is returned; after an error they may, but
	// need not, come back when the spool is opened again, and what was kept
	// before is unharmed. An error that wraps ErrFull says that there is no room,
	// and that none of them is kept or will come back. Where the medium is found
	// full after something of them was written, it wraps ErrInDoubt instead.
	//
	// settled is remembered together with the events, without a write of its
	// own: positions up to it do not come back when the spool is opened again.
	Append(events []Event, settled uint64) (first uint64, err error)

	// Read gives kept events, oldest first, beginning at a position or the next
	// one that there is: at most so many events and bytes of footprint, but at
	// least one event if there is any. Events of which the medium has lost the
	// contents are left out; damaged counts those among the positions passed,
	// each once: it holds together with an error as well.
	Read(from uint64, events, bytes int) (kept []SpooledEvent, damaged int, err error)

	// Release says that everything up to a position is settled, so that its
	// room can be used again. It need not take effect on disk at once.
	Release(upTo uint64) error

	// State describes what is kept. It never waits for the medium.
	State() SpoolState

	// Quarantine keeps rejected events durably. An event that is there already,
	// by its id, stays as it is. The error wraps ErrFull when there is no room.
	//
	// An event that has a position is settled by that: it does not come back when
	// the spool is opened again, neither before it is discarded nor after. An
	// event of code damaged stands for the events that State counts as lost: the
	// next time the spool is opened these are not counted again.
	Quarantine(rejected []Quarantined) error

	// Quarantined lists the rejected events, oldest first. Their number and size
	// are bounded. What the medium has lost of them is left out, and is part of
	// State's damage; with an error come the events that could be read.
	Quarantined() ([]Quarantined, error)

	// Discard removes rejected events by their id, durably. After an error they may,
	// but need not, be there when the spool is opened again.
	Discard(ids []uuid.UUID) error

	// Close forgets durably what was released, and gives the medium back.
	// Calling it again does nothing.
	Close() error
}

// SpooledEvent is an event with its place in the spool.
type SpooledEvent struct {
	Position uint64
	Event    Event
}

// SpoolState describes the events that a spool keeps and that are not released.
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
	// record of a log they may be an event that was never accepted, torn by a crash.
	Bytes int64
	// Detail names the places, for people; empty without damage.
	Detail string
}
