package audit

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// DerivedID makes an id from what an event means, so that recording the same step again is the same event. It is a
// UUIDv8 (RFC 9562, section 5.8): the Unix milliseconds of at in the first 48 bits, where a UUIDv7 has its time, then
// bits of the SHA-256 of the parts. The parts are prefixed with their lengths: ("ab", "c") and ("a", "bc") differ.
//
// Two steps that can both happen need different ids, and the same step the same one, whenever it is repeated. So let at
// be the time at which the object entered the state that the step leaves (for the first step, its creation time), and
// never the time of recording; let the parts name the object's UID, that state and the one that follows. With the
// creation time alone, an object that returns to a state would record an earlier step again, which is stored once: the
// later step would be missing, and an object that lives for years would have all of its events stored as if they were as
// old as it is. A time before 1970 counts as 1970.
//
// Record the same content with the same id: DataStorage stores other content as another event. Timestamp, Duration and
// Producer are not compared.
func DerivedID(at time.Time, parts ...string) uuid.UUID { return wire.DerivedID(at, parts...) }

// newID makes a UUIDv7. Stamps of one store are strictly increasing microseconds, so its ids increase as well.
func newID(stamp time.Time, random rand.Source) uuid.UUID { return wire.NewID(stamp, random.Uint64()) }
