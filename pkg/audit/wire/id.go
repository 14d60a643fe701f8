package wire

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// NewID makes a UUIDv7 (RFC 9562, section 5.7) with the fraction of the millisecond in the next 12 bits (section 6.2,
// method 3), so that ids of strictly increasing microseconds increase as well. A time before 1970 counts as 1970.
func NewID(at time.Time, random uint64) uuid.UUID {
	var id uuid.UUID
	microseconds := at.Nanosecond() / 1000 % 1000
	binary.BigEndian.PutUint16(id[6:], uint16(microseconds*4096/1000)) //nolint:gosec // below 4096
	binary.BigEndian.PutUint64(id[8:], random)
	setTimeAndVersion(&id, at, 7)
	return id
}

// DerivedID makes a UUIDv8 (RFC 9562, section 5.8): the Unix milliseconds of a time in the first 48 bits, where a
// UUIDv7 has its time, then bits of the digest of the parts. A time before 1970 counts as 1970.
func DerivedID(at time.Time, parts ...string) uuid.UUID {
	var id uuid.UUID
	sum := NewDigest(parts...).Sum()
	copy(id[6:], sum[:])
	setTimeAndVersion(&id, at, 8)
	return id
}

func setTimeAndVersion(id *uuid.UUID, at time.Time, version byte) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(at.UnixMilli(), 0))<<16)
	copy(id[:6], b[:6])
	id[6] = id[6]&0x0f | version<<4
	id[8] = id[8]&0x3f | 0x80
}
