package acknowledgement

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
)

// UserError means that the user cannot be recorded.
type UserError struct{ Detail string }

func (e *UserError) Error() string { return e.Detail }

// Store writes and reads records. It is safe for concurrent use.
type Store struct {
	decoder *event.Decoder
	writer  *ingest.Writer
	finder  *query.Finder
	clock   clock.PassiveClock
	random  io.Reader
}

// NewStore makes a store; random is read for ids, and must be safe for concurrent use.
func NewStore(decoder *event.Decoder, writer *ingest.Writer, finder *query.Finder, c clock.PassiveClock, random io.Reader) *Store {
	return &Store{decoder: decoder, writer: writer, finder: finder, clock: c, random: random}
}

// Create records a request, which NewRequest has checked, and returns once it is
// stored. Its errors are *UserError and those of ingest.Writer.Store.
func (s *Store) Create(ctx context.Context, r Request, by User) (Record, error) {
	if by.Name == "" || utf8.RuneCountInString(by.Name) > maxName {
		return Record{}, &UserError{Detail: fmt.Sprintf("an acknowledgement is recorded under a user name of 1 to %d characters", maxName)}
	}
	var random [8]byte
	if _, err := io.ReadFull(s.random, random[:]); err != nil {
		return Record{}, fmt.Errorf("make the id of an acknowledgement: %w", err)
	}
	now := s.clock.Now().UTC().Truncate(time.Microsecond)
	record := Record{Request: r, ID: wire.NewID(now, binary.BigEndian.Uint64(random[:])), User: by, At: now}
	batch, err := ownevent.Batch(s.decoder, record.event())
	if err != nil {
		return Record{}, fmt.Errorf("record an acknowledgement: %w", err)
	}
	if _, err := s.writer.Store(ctx, ingest.Request{Batch: batch, Exclusive: true}); err != nil {
		return Record{}, fmt.Errorf("record an acknowledgement: %w", err)
	}
	return record, nil
}

// Get reads a record. Its errors are ErrNotFound and *query.UnavailableError.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (Record, error) {
	stored, err := s.finder.Get(ctx, id)
	switch {
	case errors.Is(err, query.ErrNotFound):
		return Record{}, ErrNotFound
	case err != nil:
		return Record{}, fmt.Errorf("read an acknowledgement: %w", err)
	}
	return read(&stored)
}
