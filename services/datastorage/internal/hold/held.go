package hold

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/query"
)

// Keeps says which hold keeps an event.
type Keeps struct {
	EventID uuid.UUID `json:"event_id"`
	HoldID  uuid.UUID `json:"hold_id"`
}

// Held returns those of the events that a hold keeps, each with one of its holds, in the
// order of their ids. Under Lock, it stays so until the transaction ends.
func Held(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]Keeps, error) {
	inForce, err := read(ctx, tx, `AND filter IS NOT NULL`) // the others are joined
	if err != nil {
		return nil, err
	}
	args := []any{query.IDTimes(ids), ids}
	parts := []string{`SELECT event_id, hold_id FROM events JOIN audit_holds AS h USING (correlation_id) WHERE h.released_at IS NULL`}
	for _, h := range inForce.filters {
		args = append(args, h.id)
		own := len(args)
		var condition string
		if condition, args, err = h.where(args); err != nil {
			return nil, err
		}
		parts = append(parts, fmt.Sprintf(`SELECT event_id, $%d::uuid FROM events WHERE %s`, own, condition))
	}
	//nolint:unqueryvet // filters name any column
	held, err := tx.Query(ctx, `WITH events AS MATERIALIZED (SELECT e.* FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_of, id)
			JOIN audit_events AS e ON id_time = id_of AND event_id = id)
		SELECT DISTINCT ON (event_id) event_id, hold_id FROM (`+strings.Join(parts, " UNION ALL ")+`) AS h ORDER BY event_id, hold_id`, args...)
	if err != nil {
		return nil, fmt.Errorf("look for held events: %w", err)
	}
	keeps, err := pgx.CollectRows(held, pgx.RowToStructByPos[Keeps])
	if err != nil {
		return nil, fmt.Errorf("look for held events: %w", err)
	}
	return keeps, nil
}
