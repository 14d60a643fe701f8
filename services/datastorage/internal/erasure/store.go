package erasure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/hold"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// Store records requests for erasures, and tells what became of them. It is safe for
// concurrent use.
type Store struct {
	changes *hold.Changes
	reads   *database.Reads
	decoder *event.Decoder
	clock   clock.WithTicker
	ids     schema.BatchIDs
}

// NewStore makes a store that writes through changes and reads through reads.
func NewStore(changes *hold.Changes, reads *database.Reads, d *event.Decoder, c clock.WithTicker) *Store {
	return &Store{changes: changes, reads: reads, decoder: d, clock: c}
}

// request and result are what audit_requests has of an erasure.
type request struct {
	EventIDs []uuid.UUID `json:"event_ids"`
	Reason   string      `json:"reason"`
}

type result struct {
	Status  Status       `json:"status"`
	Erased  int          `json:"erased"`
	Missing []uuid.UUID  `json:"missing,omitempty"`
	Held    []hold.Keeps `json:"held,omitempty"`
	Altered []uuid.UUID  `json:"altered,omitempty"`
	Own     []uuid.UUID  `json:"own,omitempty"`
	// Unusable: the row is not what Store records.
	Unusable bool `json:"unusable,omitempty"`
}

// Request records a request. Its errors are *EventsError, ErrConflict, ErrTooMany, ErrCaller and
// *ingest.UnavailableError.
func (s *Store) Request(ctx context.Context, r Request, by ownevent.User) (Erasure, error) {
	if utf8.RuneCountInString(by.Name) > maxCaller {
		return Erasure{}, ErrCaller
	}
	recorded := Erasure{Request: r, Events: len(r.EventIDs), RequestedBy: by.Name, RequestedAt: s.clock.Now().UTC().Truncate(time.Microsecond), Status: StatusRequested}
	err := s.changes.Do(ctx, func(tx pgx.Tx) error {
		found, err := list(ctx, tx, withIDs, `AND request_id = $1`, r.ID)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			if !slices.Equal(found[0].EventIDs, r.EventIDs) || found[0].Reason != r.Reason || found[0].RequestedBy != by.Name {
				return ErrConflict
			}
			recorded = found[0]
			return nil
		}
		if err := check(ctx, tx, r.EventIDs); err != nil {
			return err
		}
		return s.insert(ctx, tx, &recorded, by)
	})
	var events *EventsError
	switch {
	case err == nil:
		return recorded, nil
	case errors.As(err, &events), errors.Is(err, ErrConflict), errors.Is(err, ErrTooMany):
		return Erasure{}, fmt.Errorf("request an erasure: %w", err)
	default:
		return Erasure{}, &ingest.UnavailableError{Err: fmt.Errorf("request an erasure: %w", err)}
	}
}

// check returns an *EventsError if not all of the events can be erased.
func check(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (err error) {
	refused := &EventsError{}
	if refused.Held, err = hold.Held(ctx, tx, ids); err != nil {
		return err //nolint:wrapcheck // says all there is
	}
	rows, err := tx.Query(ctx, `SELECT id, event_id IS NULL, coalesce(recorded_by = $3, false) FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_of, id)
		LEFT JOIN audit_events ON id_time = id_of AND event_id = id`, query.IDTimes(ids), ids, ownevent.RecordedBy)
	if err != nil {
		return fmt.Errorf("look for the events: %w", err)
	}
	var id uuid.UUID
	var unknown, own bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &unknown, &own}, func() error {
		switch {
		case unknown:
			refused.Unknown = append(refused.Unknown, id)
		case own:
			refused.Own = append(refused.Own, id)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("look for the events: %w", err)
	}
	if len(refused.Held)+len(refused.Unknown)+len(refused.Own) > 0 {
		return refused
	}
	return nil
}

// record stores an event about an erasure.
func record(ctx context.Context, tx pgx.Tx, d *event.Decoder, ids *schema.BatchIDs, e *ownevent.Event) error {
	e.ID, e.ResourceType, e.ResourceID = uuid.Must(uuid.NewV7()), kind, e.CorrelationID
	made, err := ownevent.Make(d, e)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	return ingest.Append(ctx, tx, ids, e.At, made) //nolint:wrapcheck // says what failed
}

// List returns a page of the requests, the last ones first, without the ids of events, and the cursor of the
// next page, "" on the last one. Its errors are *query.ParamError and *query.UnavailableError.
func (s *Store) List(ctx context.Context, p query.ListParams) (erasures []Erasure, next string, err error) {
	asked, err := p.Of("erasures")
	if err != nil {
		return nil, "", err //nolint:wrapcheck // names the parameters
	}
	rest, args := asked.SQL(database.PlainTime("requested_at"), "request_id")
	found, err := s.read(ctx, withoutIDs, rest, args...)
	if err != nil {
		return nil, "", err
	}
	return query.PageOf(asked, found, func(e *Erasure) (time.Time, uuid.UUID) { return e.RequestedAt, e.ID }) //nolint:wrapcheck // says what failed
}

// every is how often Get looks while it waits.
const every = 250 * time.Millisecond

// Get returns a request. If it is open, Get waits for its end, but no longer than
// patience. Its errors are ErrNotFound and *query.UnavailableError.
func (s *Store) Get(ctx context.Context, id uuid.UUID, patience time.Duration) (Erasure, error) {
	begin := s.clock.Now()
	for {
		found, err := s.read(ctx, withIDs, `AND request_id = $1`, id)
		switch {
		case err != nil:
			return Erasure{}, err
		case len(found) == 0:
			return Erasure{}, ErrNotFound
		case found[0].Status != StatusRequested, s.clock.Since(begin) >= patience:
			return found[0], nil
		}
		timer := s.clock.NewTimer(min(every, patience))
		select {
		case <-ctx.Done():
			timer.Stop()
			return Erasure{}, &query.UnavailableError{Err: ctx.Err()}
		case <-timer.C():
		}
	}
}

// Held returns those of the events that legal holds keep. Its error is a *query.UnavailableError.
func (s *Store) Held(ctx context.Context, ids []uuid.UUID) (held []hold.Keeps, err error) {
	err = s.reads.Do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		held, err = hold.Held(ctx, tx, ids)
		return err //nolint:wrapcheck // says all there is
	})
	if err != nil {
		return nil, &query.UnavailableError{Err: err}
	}
	return held, nil
}

func (s *Store) insert(ctx context.Context, tx pgx.Tx, e *Erasure, by ownevent.User) error {
	var open int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM audit_requests WHERE finished_at IS NULL`).Scan(&open); err != nil {
		return fmt.Errorf("count the requests: %w", err)
	}
	if open >= MaxOpen {
		return ErrTooMany
	}
	text, err := json.Marshal(request{EventIDs: e.EventIDs, Reason: e.Reason})
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	const insert = `INSERT INTO audit_requests (request_id, kind, request, requested_by, requested_at) VALUES ($1, $2, $3, $4, $5)`
	if _, err := tx.Exec(ctx, insert, e.ID, kind, string(text), e.RequestedBy, e.RequestedAt); err != nil {
		return fmt.Errorf("store a request: %w", err)
	}
	user, actor := by.Actor()
	return record(ctx, tx, s.decoder, &s.ids, &ownevent.Event{
		Type: Requested, Action: "request", At: e.RequestedAt, Outcome: audit.OutcomePending, CorrelationID: e.ID.String(),
		ActorType: actor, ActorID: e.RequestedBy, Data: requestedData{Events: len(e.EventIDs), Reason: e.Reason, User: user},
	})
}

func (s *Store) read(ctx context.Context, columns, rest string, args ...any) (erasures []Erasure, err error) {
	err = s.reads.Do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		erasures, err = list(ctx, tx, columns, rest, args...)
		return err
	})
	if err != nil {
		return nil, &query.UnavailableError{Err: err}
	}
	return erasures, nil
}

const (
	withIDs    = `request`
	withoutIDs = `request - 'event_ids'`
)

// The bounds of what is read of a row, in bytes: more than any request and result has.
const (
	maxRequest = 64 << 10
	maxResult  = 512 << 10
)

// list reads rows that the serving role may have written without Store: what is not readable of them is missing.
func list(ctx context.Context, tx pgx.Tx, columns, rest string, args ...any) ([]Erasure, error) {
	rows, err := tx.Query(ctx, selection(columns)+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	erasures, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	return erasures, nil
}

// selection is the begin of a query whose rows scan reads.
func selection(columns string) string {
	ends := `result`
	if columns == withoutIDs {
		ends = `result - '{missing,held,altered,own}'::text[]`
	}
	return `SELECT request_id,
			CASE WHEN pg_column_size(request) <= ` + strconv.Itoa(maxRequest) + ` AND jsonb_typeof(request -> 'event_ids') = 'array' THEN jsonb_array_length(request -> 'event_ids') ELSE 0 END,
			left(requested_by, ` + strconv.Itoa(maxCaller) + `), ` + database.PlainTime("requested_at") + `, ` + database.PlainTime("finished_at") + `, finished_at IS NULL,
			` + database.BoundedObject(columns, "request", maxRequest) + `, ` + database.BoundedObject(ends, "result", maxResult) + `
		FROM audit_requests WHERE kind = '` + kind + `' `
}

func scan(row pgx.CollectableRow) (Erasure, error) {
	e := Erasure{Status: StatusRequested}
	var sent, end *string
	var open bool
	if err := row.Scan(&e.ID, &e.Events, &e.RequestedBy, &e.RequestedAt, &e.FinishedAt, &open, &sent, &end); err != nil {
		return e, err //nolint:wrapcheck // wrapped by the caller
	}
	e.RequestedAt = e.RequestedAt.UTC()
	if r, ok := decode[request](sent); ok {
		e.EventIDs, e.Reason = r.EventIDs, r.Reason
	}
	if open {
		e.FinishedAt = nil // greatest and least skip NULL
		return e, nil
	}
	e.Status, e.Unusable = StatusRefused, true
	if r, ok := decode[result](end); ok && (r.Status == StatusErased || r.Status == StatusRefused) {
		e.Status, e.Erased, e.Missing, e.Held, e.Altered, e.Own, e.Unusable = r.Status, r.Erased, r.Missing, r.Held, r.Altered, r.Own, r.Unusable
	}
	return e, nil
}

func decode[T any](text *string) (decoded T, ok bool) {
	if text == nil {
		return decoded, false
	}
	err := json.Unmarshal([]byte(*text), &decoded)
	return decoded, err == nil
}
