package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
)

// cursor is the place behind the last event of a page, together with the times
// that "24h" and the like stood for on the first page: the walk looks at the
// same span of time from its first page to its last.
type cursor struct {
	// query binds the cursor to the filters and the order it was made for.
	query [8]byte
	at    time.Time
	id    uuid.UUID
	// all: the walk goes on with every event of the time at, whatever its id.
	all bool
	// scan: the indexes of complete partitions are of no use for this search.
	scan bool
	span span
	// found is how many matching events the pages before had or left out, and skip
	// how many are still to be left out.
	found, skip int
}

// cursorVersion is the first byte of every cursor.
const cursorVersion = 2

var (
	errCursor         = errors.New("is malformed: pass next_cursor as it came")
	errCursorMismatch = errors.New("belongs to another query: keep the filters and the order, or start without a cursor")
)

// layout is the fixed form of a cursor, big endian.
type layout struct {
	Version      uint8
	Flags        uint8
	Query        [8]byte
	At           int64 // microseconds
	ID           uuid.UUID
	Since, Until int64 // microseconds
	Found, Skip  uint32
}

const (
	flagSince = 1 << iota
	flagUntil
	flagAll
	flagScan
)

func (c cursor) encode() (string, error) {
	w := layout{
		Version: cursorVersion, Query: c.query, At: c.at.UnixMicro(), ID: c.id,
		Found: uint32(c.found), Skip: uint32(c.skip), //nolint:gosec // bounded by MaxTotal and MaxOffset
	}
	if c.all {
		w.Flags |= flagAll
	}
	if c.scan {
		w.Flags |= flagScan
	}
	if c.span.since != nil {
		w.Flags |= flagSince
		w.Since = c.span.since.UnixMicro()
	}
	if c.span.until != nil {
		w.Flags |= flagUntil
		w.Until = c.span.until.UnixMicro()
	}
	out, err := binary.Append(nil, binary.BigEndian, w)
	if err != nil {
		return "", err //nolint:wrapcheck // cannot fail for a fixed layout
	}
	return base64.RawURLEncoding.EncodeToString(out), nil
}

func decodeCursor(text string, query [8]byte) (cursor, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	var w layout
	if err != nil || len(raw) != binary.Size(w) {
		return cursor{}, errCursor
	}
	if err := binary.Read(bytes.NewReader(raw), binary.BigEndian, &w); err != nil || w.Version != cursorVersion {
		return cursor{}, errCursor
	}
	if w.Query != query {
		return cursor{}, errCursorMismatch
	}
	if w.Found > MaxTotal || w.Skip > MaxOffset {
		return cursor{}, errCursor
	}
	c := cursor{
		query: w.Query, at: time.UnixMicro(w.At).UTC(), id: w.ID, all: w.Flags&flagAll != 0, scan: w.Flags&flagScan != 0,
		found: int(w.Found), skip: int(w.Skip),
	}
	if w.Flags&flagSince != 0 {
		t := time.UnixMicro(w.Since).UTC()
		c.span.since = &t
	}
	if w.Flags&flagUntil != 0 {
		t := time.UnixMicro(w.Until).UTC()
		c.span.until = &t
	}
	return c, nil
}

// fingerprint is the same for two pages of one walk: it covers what the client
// asked for, but not where in it the page lies.
func (p Params) fingerprint(order Order) ([8]byte, error) {
	p.Cursor, p.Limit, p.Offset, p.AtLeast = "", nil, nil, nil
	p.Order = string(order)
	text, err := json.Marshal(p) //nolint:musttag // nobody else reads this form
	if err != nil {
		return [8]byte{}, err //nolint:wrapcheck // cannot fail for plain text
	}
	sum := sha256.Sum256(text)
	return [8]byte(sum[:8]), nil
}
