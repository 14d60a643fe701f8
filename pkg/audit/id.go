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
// at must be the same whenever the step is repeated, for instance the creation time of the resource, and never the
// time of recording. A time before 1970 counts as 1970.
func DerivedID(at time.Time, parts ...string) uuid.UUID { return wire.DerivedID(at, parts...) }

// newID makes a UUIDv7. Stamps of one store are strictly increasing microseconds, so its ids increase as well.
func newID(stamp time.Time, random rand.Source) uuid.UUID { return wire.NewID(stamp, random.Uint64()) }
