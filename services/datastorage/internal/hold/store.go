package hold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/ingest"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
	"kubernaut.ai/services/datastorage/internal/schema"
)

var (
	// ErrNotFound means that no hold in force has this name.
	ErrNotFound = errors.New("no such hold in force")
	// ErrConflict means that another hold has the id.
	ErrConflict = errors.New("another hold has this id")
	// ErrCaller means that the name of the caller cannot be recorded.
	ErrCaller = fmt.Errorf("a hold is recorded under a name of at most %d characters", maxCaller)
	// ErrTooMany means that the bound on holds in force is reached.
	ErrTooMany = fmt.Errorf("%d holds on correlation ids or %d on filters are in force: release some, or place one on a filter that covers several", MaxCorrelationIDs, MaxFilters)
)

// maxCaller bounds the names of callers, in characters: the bound of actor_id.
const maxCaller = 255

// Selector selects holds: the one with an id, as text, or those on a correlation id if
// none has that id, or the one with an ID. Without either it selects all.
type Selector struct {
	Name string
	ID   uuid.UUID
}

// condition that is true for selected holds. Its values are $1 and $2. A hold's id is
// also the correlation id of the events about it, on which there may be a hold, too.
const condition = `($1 = '' OR hold_id::text = $1 OR correlation_id = $1 AND NOT EXISTS (SELECT FROM audit_holds AS named WHERE named.hold_id::text = $1))
	AND ($2::uuid IS NULL OR hold_id = $2)`

func (s Selector) values() (name string, id *uuid.UUID) {
	if s.ID != uuid.Nil {
		id = &s.ID
	}
	return s.Name, id
}

// Store places, lists and releases holds. It is safe for concurrent use.
type Store struct {
	changes *Changes
	reads   *database.Reads
	decoder *event.Decoder
	clock   clock.PassiveClock
	ids     schema.BatchIDs
}

// NewStore makes a store that writes through changes and lists through reads.
func NewStore(changes *Changes, reads *database.Reads, d *event.Decoder, c clock.PassiveClock) *Store {
	return &Store{changes: changes, reads: reads, decoder: d, clock: c}
}

// Place places a hold. If it returns nil, no later run removes a matching event.
// Its errors are ErrCaller, ErrConflict, ErrTooMany and *ingest.UnavailableError.
func (s *Store) Place(ctx context.Context, r Request, by ownevent.User) (Hold, error) {
	if utf8.RuneCountInString(by.Name) > maxCaller {
		return Hold{}, ErrCaller
	}
	placed := Hold{Request: r, PlacedBy: by.Name, PlacedAt: r.at}
	err := s.change(ctx, func(tx pgx.Tx) error {
		found, err := list(ctx, tx, `WHERE hold_id = $1`, r.ID)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			if !found[0].same(&r, by.Name) {
				return ErrConflict
			}
			placed = found[0]
			return nil
		}
		return s.insert(ctx, tx, &placed, by)
	})
	if err != nil {
		return Hold{}, fmt.Errorf("place a hold: %w", err)
	}
	return placed, nil
}

// Release releases the selected holds in force, and returns them. Its errors are
// ErrCaller, ErrNotFound and *ingest.UnavailableError. Unlike List, it never takes an
// empty selector for all holds.
func (s *Store) Release(ctx context.Context, which Selector, reason string, by ownevent.User) (released []Hold, err error) {
	if which == (Selector{}) {
		return nil, ErrNotFound
	}
	if utf8.RuneCountInString(by.Name) > maxCaller {
		return nil, ErrCaller
	}
	name, id := which.values()
	err = s.change(ctx, func(tx pgx.Tx) error {
		found, err := list(ctx, tx, `WHERE released_at IS NULL AND `+condition, name, id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return ErrNotFound
		}
		now := s.clock.Now().UTC().Truncate(time.Microsecond)
		for i := range found {
			h := &found[i]
			h.ReleasedAt, h.ReleasedBy, h.ReleaseReason = &now, by.Name, reason
			const update = `UPDATE audit_holds SET released_by = $2, released_at = $3, release_reason = $4 WHERE hold_id = $1`
			if _, err := tx.Exec(ctx, update, h.ID, by.Name, now, reason); err != nil {
				return fmt.Errorf("release hold %s: %w", h.ID, err)
			}
			if err := s.record(ctx, tx, Released, h, by, now, reason); err != nil {
				return err
			}
		}
		released = found
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("release a hold: %w", err)
	}
	return released, nil
}

// List returns a page of the selected holds, the last placed ones first, and the cursor of the
// next page, "" on the last one. Its errors are *query.ParamError and *query.UnavailableError.
func (s *Store) List(ctx context.Context, which Selector, withReleased bool, p query.ListParams) (holds []Hold, next string, err error) {
	asked, err := p.Of("holds", which, withReleased)
	if err != nil {
		return nil, "", err //nolint:wrapcheck // names the parameters
	}
	name, id := which.values()
	rest, args := asked.SQL(database.PlainTime("placed_at"), "hold_id", name, id, withReleased)
	err = s.reads.Do(ctx, func(ctx context.Context, tx pgx.Tx) error {
		holds, err = list(ctx, tx, `WHERE `+condition+` AND ($3 OR released_at IS NULL)`+rest, args...)
		return err
	})
	if err != nil {
		return nil, "", &query.UnavailableError{Err: fmt.Errorf("list holds: %w", err)}
	}
	return query.PageOf(asked, holds, func(h *Hold) (time.Time, uuid.UUID) { return h.PlacedAt, h.ID }) //nolint:wrapcheck // says what failed
}

func (s *Store) insert(ctx context.Context, tx pgx.Tx, h *Hold, by ownevent.User) error {
	var ids, filters int
	const count = `SELECT count(correlation_id), count(filter) FROM audit_holds WHERE released_at IS NULL`
	if err := tx.QueryRow(ctx, count).Scan(&ids, &filters); err != nil {
		return fmt.Errorf("count the holds: %w", err)
	}
	if (h.Filter != nil && filters >= MaxFilters) || (h.Filter == nil && ids >= MaxCorrelationIDs) {
		return ErrTooMany
	}
	var filter *string
	if h.Filter != nil {
		encoded, err := json.Marshal(h.Filter)
		if err != nil {
			return fmt.Errorf("encode a filter: %w", err)
		}
		text := string(encoded)
		filter = &text
	}
	const insert = `INSERT INTO audit_holds (hold_id, correlation_id, filter, reason, placed_by, placed_at) VALUES ($1, nullif($2, ''), $3, $4, $5, $6)`
	if _, err := tx.Exec(ctx, insert, h.ID, h.CorrelationID, filter, h.Reason, h.PlacedBy, h.PlacedAt); err != nil {
		return fmt.Errorf("store a hold: %w", err)
	}
	return s.record(ctx, tx, Placed, h, by, h.PlacedAt, h.Reason)
}

// list reads rows that others than Store may have written: what is not readable of them is missing or cut.
func list(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]Hold, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(`SELECT hold_id, left(correlation_id, %[1]d), %[2]s, left(reason, %[3]d), left(placed_by, %[1]d), %[4]s, released_at IS NULL, %[5]s,
		coalesce(left(released_by, %[1]d), ''), coalesce(left(release_reason, %[3]d), '') FROM audit_holds `, maxCaller, database.BoundedObject("filter", "filter", maxFilter),
		MaxReason, database.PlainTime("placed_at"), database.PlainTime("released_at"))+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	holds, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Hold, err error) {
		var correlationID, filter *string
		var inForce bool
		err = row.Scan(&h.ID, &correlationID, &filter, &h.Reason, &h.PlacedBy, &h.PlacedAt, &inForce, &h.ReleasedAt, &h.ReleasedBy, &h.ReleaseReason)
		h.PlacedAt = h.PlacedAt.UTC()
		if inForce {
			h.ReleasedAt = nil // greatest and least skip NULL
		}
		if correlationID != nil {
			h.CorrelationID = *correlationID
			return h, err //nolint:wrapcheck // wrapped below
		}
		var unusable error
		h.Filter, unusable = readFilter(filter)
		h.Unusable = unusable != nil
		return h, err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return holds, nil
}

// change runs a transaction under the lock row, and commits it.
func (s *Store) change(ctx context.Context, do func(pgx.Tx) error) error {
	err := s.changes.Do(ctx, do)
	if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) || errors.Is(err, ErrTooMany) {
		return err
	}
	return &ingest.UnavailableError{Err: err}
}

// record stores the event about a change.
func (s *Store) record(ctx context.Context, tx pgx.Tx, eventType string, h *Hold, by ownevent.User, at time.Time, reason string) error {
	action := "place"
	if eventType == Released {
		action = "release"
	}
	user, actor := by.Actor()
	made, err := ownevent.Make(s.decoder, &ownevent.Event{
		ID: uuid.Must(uuid.NewV7()), Type: eventType, Action: action, At: at, Outcome: audit.OutcomeSuccess, CorrelationID: h.ID.String(),
		ActorType: actor, ActorID: by.Name, ResourceType: "legalhold", ResourceID: h.ID.String(),
		Data: data{CorrelationID: h.CorrelationID, Filter: h.Filter, Reason: reason, User: user},
	})
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	return ingest.Append(ctx, tx, &s.ids, at, made) //nolint:wrapcheck // says what failed
}
