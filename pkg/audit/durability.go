package audit

import "fmt"

// Durability says when Record returns, and so what an accepted event survives.
type Durability int

const (
	// Memory makes Record return when the event is in the store's memory: it
	// survives a dead sink, but not the death of the process. The default.
	Memory Durability = iota
	// Spooled makes Record return when the event is on disk (see WithSpool): it
	// survives kill -9 and the loss of power. Concurrent calls share their fsyncs.
	Spooled
	// Stored makes Record return when the sink has acknowledged the event: for
	// actions that must not happen unrecorded.
	Stored
)

// String is the durability's name in lower case.
func (d Durability) String() string {
	switch d {
	case Memory:
		return "memory"
	case Spooled:
		return "spooled"
	case Stored:
		return "stored"
	default:
		return fmt.Sprintf("Durability(%d)", int(d))
	}
}
