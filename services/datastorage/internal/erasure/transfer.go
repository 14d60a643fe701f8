package erasure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// line is an erasure in the list that Export writes and Import reads, as JSON.
type line struct {
	ID          uuid.UUID   `json:"erasure_id"`
	EventIDs    []uuid.UUID `json:"event_ids"`
	Reason      string      `json:"reason"`
	RequestedBy string      `json:"requested_by"`
	RequestedAt time.Time   `json:"requested_at"`
	ErasedAt    time.Time   `json:"erased_at"`
}

// Export writes the list of erasures that were carried out, one JSON object a line, and
// returns how many there are. The list has ids and reasons, no content of events. It lacks the
// rows that Import would not take, for which leftOut is called.
func Export(ctx context.Context, tx pgx.Tx, to io.Writer, leftOut func(id uuid.UUID, why error)) (erasures int, err error) {
	rows, err := tx.Query(ctx, selection(withIDs)+`AND result ->> 'status' = '`+string(StatusErased)+`' ORDER BY requested_at, request_id`)
	if err != nil {
		return 0, fmt.Errorf("read erasures: %w", err)
	}
	defer rows.Close()
	out := json.NewEncoder(to)
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return erasures, fmt.Errorf("read erasures: %w", err)
		}
		l := line{ID: e.ID, EventIDs: e.EventIDs, Reason: e.Reason, RequestedBy: e.RequestedBy, RequestedAt: e.RequestedAt}
		if e.FinishedAt != nil {
			l.ErasedAt = e.FinishedAt.UTC()
		}
		if err := l.check(); err != nil {
			leftOut(e.ID, err)
			continue
		}
		if err := out.Encode(l); err != nil {
			return erasures, fmt.Errorf("write erasures: %w", err)
		}
		erasures++
	}
	if err := rows.Err(); err != nil {
		return erasures, fmt.Errorf("read erasures: %w", err)
	}
	return erasures, nil
}

// Import adds what Export wrote to the list, all of it or nothing, and returns how many
// erasures the database did not have. The next maintenance run carries them out.
func Import(ctx context.Context, tx pgx.Tx, from io.Reader) (added int, err error) {
	keyID, _, err := key(ctx, tx)
	if err != nil {
		return 0, err
	}
	in := json.NewDecoder(from)
	in.DisallowUnknownFields()
	for n := 1; ; n++ {
		var l line
		err := in.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = l.check()
		}
		if err != nil {
			return 0, fmt.Errorf("erasure %d of the list: %w", n, err)
		}
		done, err := l.add(ctx, tx, keyID)
		if err != nil {
			return 0, fmt.Errorf("erasure %s: %w", l.ID, err)
		}
		if done {
			added++
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM audit_maintenance WHERE task = '`+Task+`'`); err != nil {
		return 0, fmt.Errorf("have the list carried out: %w", err)
	}
	return added, nil
}

// Task of audit_maintenance says when events of the list were last looked for.
const Task = "erasures"

func (l *line) check() error {
	if l.ID == uuid.Nil || l.RequestedAt.IsZero() || l.ErasedAt.IsZero() {
		return errors.New("erasure_id, requested_at and erased_at are required")
	}
	r, bad := NewRequest(l.ID, l.EventIDs, l.Reason)
	for field, reason := range bad {
		return fmt.Errorf("%s %s", field, reason)
	}
	l.EventIDs = r.EventIDs
	return nil
}

func (l *line) add(ctx context.Context, tx pgx.Tx, keyID int32) (added bool, err error) {
	sent, err := json.Marshal(request{EventIDs: l.EventIDs, Reason: l.Reason})
	if err != nil {
		return false, fmt.Errorf("encode a request: %w", err)
	}
	end, err := json.Marshal(result{Status: StatusErased, Erased: len(l.EventIDs)})
	if err != nil {
		return false, fmt.Errorf("encode a result: %w", err)
	}
	// A request that the backup has may have been open, or refused, when it was made.
	done, err := tx.Exec(ctx, `INSERT INTO audit_requests AS r (request_id, kind, request, requested_by, requested_at, started_at, finished_at, result)
		VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
		ON CONFLICT (request_id) DO UPDATE SET started_at = excluded.started_at, finished_at = excluded.finished_at, result = excluded.result
			WHERE r.finished_at IS NULL`,
		l.ID, kind, string(sent), l.RequestedBy, l.RequestedAt, l.ErasedAt, string(end))
	if err != nil {
		return false, fmt.Errorf("store a request: %w", err)
	}
	return done.RowsAffected() > 0, expect(ctx, tx, l.EventIDs, l.ID, keyID, l.ErasedAt)
}
