package audit

import "fmt"

// Moment is a point in a store's work that the outside cannot see. It exists so
// that tests can wait for it instead of sleeping; see audittest.Moments.
type Moment int

// The moments of a store.
const (
	// MomentWaitingForRoom: a Record found the store full and begins to wait.
	MomentWaitingForRoom Moment = iota + 1
	// MomentWaitingForSpool: a Record handed its event to the spool and begins to wait.
	MomentWaitingForSpool
	// MomentWaitingForStored: a Record begins to wait until the sink has stored its event.
	MomentWaitingForStored
	// MomentWaitingForFlush: a Flush or Close found events owed and begins to wait.
	MomentWaitingForFlush
	// MomentSpooled: a group of events is on disk, and accepted.
	MomentSpooled
	// MomentReleased: the spool was told that it may forget events; how many is not said.
	MomentReleased
	// MomentLoaded: events were read back from the spool.
	MomentLoaded
	// MomentWriting: a batch is about to be written to the sink.
	MomentWriting
	// MomentStored: a batch was acknowledged and its events are settled.
	MomentStored
	// MomentRejected: events went into quarantine.
	MomentRejected
	// MomentFailed: a write failed and its events stay owed.
	MomentFailed
	// MomentPausing: the store begins to wait before the next attempt.
	MomentPausing
)

var momentNames = map[Moment]string{
	MomentWaitingForRoom: "waiting for room", MomentWaitingForSpool: "waiting for spool",
	MomentWaitingForStored: "waiting for stored", MomentWaitingForFlush: "waiting for flush",
	MomentSpooled: "spooled", MomentReleased: "released", MomentLoaded: "loaded", MomentWriting: "writing", MomentStored: "stored",
	MomentRejected: "rejected", MomentFailed: "failed", MomentPausing: "pausing",
}

// String is the moment's name in lower case.
func (m Moment) String() string {
	if name, ok := momentNames[m]; ok {
		return name
	}
	return fmt.Sprintf("Moment(%d)", int(m))
}

// Observer is told about a moment, and how many events it concerns. It is
// called from the store's goroutines and those of its callers, possibly at the
// same time, without any lock held; it must return soon and may call the store.
type Observer func(moment Moment, events int)
