package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

// A record is a CRC-32C of the rest, little endian, and a sequence (RFC 8742) of
// CBOR items: the version of the format, the header, and the event. A record
// without an event is a mark: it only says what is terminal.

// formatVersion is the version of the records that this package writes, and the newest that it reads.
const formatVersion = 1

const checksumBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errDamaged says that the bytes of a record are not those that were written.
	errDamaged = errors.New("damaged record")
	// errNewer says that a record is whole, but of a format that this package does not know.
	errNewer = errors.New("record of a newer version of the spool")
)

// header is what a scan needs to know of a record.
type header struct {
	_ struct{} `cbor:",toarray"`

	// Position of the record in the log, and that of the first of its group: of
	// what was written and synced together with it.
	Position, First uint64
	// Terminal is the position up to which everything was terminal at that time.
	Terminal uint64
	// Footprint of the event; zero in a mark.
	Footprint uint32
}

// valid says whether the numbers fit together; their own order is part of what
// keeps a log from inventing anything.
func (h *header) valid() bool {
	return h.First >= 1 && h.First <= h.Position && h.Position < math.MaxUint64 && h.Terminal < h.First
}

// stored is audit.Event with the names that it has on disk. The fields are
// those of audit.Event, in their order: the compiler converts one to the other,
// or says which was forgotten. A number is never used for another field.
type stored struct {
	ID            uuid.UUID       `cbor:"1,keyasint"            json:"event_id"`
	Version       string          `cbor:"2,keyasint,omitempty"  json:"version,omitempty"`
	Type          string          `cbor:"3,keyasint,omitempty"  json:"event_type"`
	Timestamp     time.Time       `cbor:"4,keyasint"            json:"event_timestamp"`
	Category      string          `cbor:"5,keyasint,omitempty"  json:"event_category"`
	Action        string          `cbor:"6,keyasint,omitempty"  json:"event_action"`
	Outcome       audit.Outcome   `cbor:"7,keyasint,omitempty"  json:"event_outcome"`
	CorrelationID string          `cbor:"8,keyasint,omitempty"  json:"correlation_id"`
	Data          json.RawMessage `cbor:"9,keyasint"            json:"event_data"`
	ActorType     string          `cbor:"10,keyasint,omitempty" json:"actor_type,omitempty"`
	ActorID       string          `cbor:"11,keyasint,omitempty" json:"actor_id,omitempty"`
	ActorIP       string          `cbor:"12,keyasint,omitempty" json:"actor_ip,omitempty"`
	ResourceType  string          `cbor:"13,keyasint,omitempty" json:"resource_type,omitempty"`
	ResourceID    string          `cbor:"14,keyasint,omitempty" json:"resource_id,omitempty"`
	Namespace     string          `cbor:"15,keyasint,omitempty" json:"namespace,omitempty"`
	ClusterID     string          `cbor:"16,keyasint,omitempty" json:"cluster_id,omitempty"`
	Severity      string          `cbor:"17,keyasint,omitempty" json:"severity,omitempty"`
	Duration      *time.Duration  `cbor:"18,keyasint,omitempty" json:"duration_ns,omitempty"`
	ErrorCode     string          `cbor:"19,keyasint,omitempty" json:"error_code,omitempty"`
	ErrorMessage  string          `cbor:"20,keyasint,omitempty" json:"error_message,omitempty"`
	ParentID      uuid.UUID       `cbor:"21,keyasint"           json:"parent_event_id,omitzero"`
	RetentionDays int32           `cbor:"22,keyasint,omitempty" json:"retention_days,omitempty"`
	Sensitive     bool            `cbor:"23,keyasint,omitempty" json:"sensitive,omitempty"`
	Producer      audit.Producer  `cbor:"24,keyasint"           json:"producer"`
}

var (
	encoding = must(cbor.EncOptions{Time: cbor.TimeRFC3339NanoUTC}.UserBufferEncMode())
	// Text that is not UTF-8 is nothing that Record accepts, but no reason to lose the event either.
	decoding = must(cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode())
)

// must is for options that are constants: whether they are valid shows in every test.
func must[T any](mode T, err error) T {
	if err != nil {
		panic(err)
	}
	return mode
}

// appendRecord encodes a record behind what the buffer has; the event is nil for a mark.
func appendRecord(to *bytes.Buffer, h *header, event *audit.Event) error {
	start := to.Len()
	to.Write(make([]byte, checksumBytes))
	items := []any{formatVersion, h}
	if event != nil {
		items = append(items, (*stored)(event))
	}
	for _, item := range items {
		if err := encoding.MarshalToBuffer(item, to); err != nil {
			return fmt.Errorf("encode position %d: %w", h.Position, err)
		}
	}
	record := to.Bytes()[start:]
	binary.LittleEndian.PutUint32(record, crc32.Checksum(record[checksumBytes:], castagnoli))
	return nil
}

// whole says whether the bytes of a record are those that were written.
func whole(record []byte) bool {
	return len(record) > checksumBytes &&
		binary.LittleEndian.Uint32(record) == crc32.Checksum(record[checksumBytes:], castagnoli)
}

// openRecord checks a record and gives its header and its undecoded event. The
// error is errDamaged, or wraps errNewer.
func openRecord(record []byte) (h header, event []byte, err error) {
	if !whole(record) {
		return header{}, nil, errDamaged
	}
	var version uint64
	rest, err := decoding.UnmarshalFirst(record[checksumBytes:], &version)
	if err != nil || version == 0 {
		return header{}, nil, errDamaged
	}
	if version > formatVersion {
		return header{}, nil, fmt.Errorf("%w: version %d, this one reads up to %d", errNewer, version, formatVersion)
	}
	event, err = decoding.UnmarshalFirst(rest, &h)
	if err != nil || !h.valid() || (h.Footprint == 0) != (len(event) == 0) {
		return header{}, nil, errDamaged
	}
	return h, event, nil
}

// decodeEvent decodes what openRecord gave. The event shares no memory with it.
func decodeEvent(data []byte) (audit.Event, error) {
	var s stored
	if err := decoding.Unmarshal(data, &s); err != nil {
		return audit.Event{}, errDamaged
	}
	s.Timestamp = s.Timestamp.UTC()
	return audit.Event(s), nil
}
