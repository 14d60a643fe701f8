package audit

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// DerivedID makes an id from what an event means, so that recording the same
// step again is the same event. It is a UUIDv8 (RFC 9562, section 5.8): the
// Unix milliseconds of at in the first 48 bits, where a UUIDv7 has its time,
// then bits of the SHA-256 of the parts. The parts are prefixed with their
// lengths: ("ab", "c") and ("a", "bc") differ.
//
// at must be the same whenever the step is repeated, like the creation time of
// the resource, and never the time of recording. A time before 1970 counts as 1970.
func DerivedID(at time.Time, parts ...string) uuid.UUID {
	sum := wire.NewDigest(parts...).Sum()
	var id uuid.UUID
	copy(id[6:], sum[:])
	putMilliseconds(&id, at)
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// newID makes a UUIDv7 (RFC 9562, section 5.7) with the fraction of the
// millisecond in the next 12 bits (section 6.2, method 3). Stamps of one store
// are strictly increasing microseconds, so its ids increase as well.
func newID(stamp time.Time, random rand.Source) uuid.UUID {
	var id uuid.UUID
	microseconds := stamp.Nanosecond() / 1000 % 1000
	binary.BigEndian.PutUint16(id[6:], uint16(microseconds*4096/1000)) //nolint:gosec // below 4096
	binary.BigEndian.PutUint64(id[8:], random.Uint64())
	putMilliseconds(&id, stamp)
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// putMilliseconds writes the 48 time bits that UUIDv7 and DerivedID share.
func putMilliseconds(id *uuid.UUID, at time.Time) {
	milliseconds := uint64(max(at.UnixMilli(), 0))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], milliseconds<<16)
	copy(id[:6], b[:6])
}
