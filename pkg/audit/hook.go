package audit

import "fmt"

// HookPoint is a point in a store's work that is invisible from outside. It
// exists so that tests can wait for it instead of sleeping; see audittest.Hooks.
type HookPoint int

// The points at which a store calls its hook.
const (
	// HookWaitingForCapacity: a Record found the store full and begins to wait.
	HookWaitingForCapacity HookPoint = iota + 1
	// HookWaitingForSpool: a Record handed its event to the spool and begins to wait.
	HookWaitingForSpool
	// HookWaitingForStored: a Record begins to wait until the sink has stored its event.
	HookWaitingForStored
	// HookWaitingForFlush: a Flush or Close found events pending and begins to wait.
	HookWaitingForFlush
	// HookSpooled: a group of events is on disk, and accepted.
	HookSpooled
	// HookReleased: the spool was told that it may forget events; how many is not reported.
	HookReleased
	// HookLoaded: events were read back from the spool.
	HookLoaded
	// HookWriting: a batch is about to be written to the sink.
	HookWriting
	// HookStored: a batch was acknowledged and its events are stored.
	HookStored
	// HookRejected: events went into quarantine.
	HookRejected
	// HookStalled: events were set aside because the sink does not take them for now.
	HookStalled
	// HookFailed: a write failed and its events stay pending.
	HookFailed
	// HookBackingOff: the store begins to wait before the next attempt.
	HookBackingOff
)

var hookPointNames = map[HookPoint]string{
	HookWaitingForCapacity: "waiting for capacity", HookWaitingForSpool: "waiting for spool",
	HookWaitingForStored: "waiting for stored", HookWaitingForFlush: "waiting for flush",
	HookSpooled: "spooled", HookReleased: "released", HookLoaded: "loaded", HookWriting: "writing", HookStored: "stored",
	HookRejected: "rejected", HookStalled: "stalled", HookFailed: "failed", HookBackingOff: "backing off",
}

// String is the point's name in lower case.
func (p HookPoint) String() string {
	if name, ok := hookPointNames[p]; ok {
		return name
	}
	return fmt.Sprintf("HookPoint(%d)", int(p))
}

// Hook is called when a store reaches a point, with the number of events that it
// concerns. It is called from the store's goroutines and those of its callers,
// possibly at the same time, without any lock held; it must return soon and may
// call the store.
type Hook func(point HookPoint, events int)
