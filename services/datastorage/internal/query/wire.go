package query

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"kubernaut.ai/pkg/audit/wire"
)

// reader reads the events of rows with Columns. It decodes what the server sends
// by itself where that has the usual form: a page has thousands of values, and a
// plan for each of them takes longer than all else that is done with it.
type reader struct {
	rows   pgx.Rows
	direct bool
}

func newReader(rows pgx.Rows) *reader {
	fields := rows.FieldDescriptions()
	direct := len(fields) > 0
	for _, f := range fields {
		switch f.DataTypeOID {
		case pgtype.TextOID: // the same in both forms
		case pgtype.JSONBOID:
			direct = direct && f.Format == pgx.TextFormatCode
		default:
			direct = direct && f.Format == pgx.BinaryFormatCode
		}
	}
	return &reader{rows: rows, direct: direct}
}

// read reads the event of the current row.
func (r *reader) read() (Stored, error) {
	if r.direct {
		v := values{left: r.rows.RawValues()}
		if s := v.event(); !v.strange {
			return s, nil
		}
	}
	return scan(r.rows)
}

// values are the columns of a row that were not read.
type values struct {
	left [][]byte
	// strange: a value is not of the form that was expected.
	strange bool
}

// event reads Columns.
func (v *values) event() (s Stored) {
	s.ID = v.id()
	s.Version, s.Type = v.text(), v.text()
	s.Timestamp = v.time()
	s.Category, s.Action = v.text(), v.text()
	s.Outcome = wire.EventOutcome(v.text())
	s.CorrelationID = v.text()
	s.Data = slices.Clone(v.next())
	s.ActorType, s.ActorID, s.ActorIP = v.text(), v.text(), v.text()
	s.ResourceType, s.ResourceID = v.text(), v.text()
	s.Namespace, s.ClusterID = v.text(), v.text()
	s.Severity = v.text()
	s.DurationMicros = v.number()
	s.ErrorCode, s.ErrorMessage = v.text(), v.text()
	s.ParentID = v.id()
	s.RetentionDays = v.days()
	s.Sensitive = v.flag()
	s.ProducerID = v.text()
	s.ProducerEpoch, s.ProducerSeq = v.number(), v.number()
	s.RecordedBy = v.text()
	s.ReceivedAt = v.time()
	s.ClaimedID = v.id()
	s.Place = v.time()
	s.ErasedAt = v.someTime()
	v.strange = v.strange || len(v.left) > 0
	return s
}

func (v *values) next() []byte {
	if len(v.left) == 0 {
		v.strange = true
		return nil
	}
	value := v.left[0]
	v.left = v.left[1:]
	return value
}

// sized returns a value of n bytes, or nil for NULL.
func (v *values) sized(n int) []byte {
	value := v.next()
	if value != nil && len(value) != n {
		v.strange = true
		return nil
	}
	return value
}

// text is "" for NULL.
func (v *values) text() string { return string(v.next()) }

// id is uuid.Nil for NULL.
func (v *values) id() (id uuid.UUID) {
	copy(id[:], v.sized(len(id)))
	return id
}

// number is nil for NULL.
func (v *values) number() *int64 {
	const size = 8
	value := v.sized(size)
	if value == nil {
		return nil
	}
	n := int64(binary.BigEndian.Uint64(value)) //nolint:gosec // its two's complement
	return &n
}

func (v *values) days() int32 {
	const size = 4
	value := v.sized(size)
	if value == nil {
		v.strange = true
		return 0
	}
	return int32(binary.BigEndian.Uint32(value)) //nolint:gosec // its two's complement
}

func (v *values) flag() bool {
	value := v.sized(1)
	if value == nil {
		v.strange = true
		return false
	}
	return value[0] != 0
}

// epoch is the zero of PostgreSQL's times.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

func (v *values) time() time.Time {
	at := v.someTime()
	if at == nil {
		v.strange = true
		return time.Time{}
	}
	return *at
}

// someTime is nil for NULL.
func (v *values) someTime() *time.Time {
	micros := v.number()
	if micros == nil {
		return nil
	}
	if *micros == math.MinInt64 || *micros == math.MaxInt64 { // the infinities
		v.strange = true
	}
	at := time.UnixMicro(epoch.UnixMicro() + *micros).UTC()
	return &at
}
