package erasure

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"kubernaut.ai/internal/commitment"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/ownevent"
	"kubernaut.ai/services/datastorage/internal/query"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// events are what is to be erased, without those that were erased before.
type events struct {
	ids []uuid.UUID
	// times, parts and digests by event.
	times   []pgtype.Timestamptz
	parts   [][]byte
	digests [][]byte
	// found has the ids of all events, altered those of the ones that contradict their commitments.
	found   map[uuid.UUID]struct{}
	altered []uuid.UUID
	// own has the ids of DataStorage's own events, which cannot be erased.
	own []uuid.UUID
	// partitions that have events.
	partitions []string
}

// canonicalGrowth bounds how much larger the canonical form of data can be.
const canonicalGrowth = 3

// read reads events one after the other, as their data may be large, and hashes what will be gone.
func read(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (*events, error) {
	rows, err := tx.Query(ctx, `SELECT `+query.Columns+`, commitment, salts, content_digest, e.tableoid::regclass::text
		FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_of, id) JOIN audit_events AS e ON id_time = id_of AND event_id = id`, query.IDTimes(ids), ids)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	e := &events{found: map[uuid.UUID]struct{}{}}
	for rows.Next() {
		var committed, salts, digest []byte
		var partition string
		stored, err := query.ScanWith(rows, &committed, &salts, &digest, &partition)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if err := e.add(&stored, committed, salts, digest); err != nil {
			return nil, fmt.Errorf("event %s: %w", stored.ID, err)
		}
		if !slices.Contains(e.partitions, partition) {
			e.partitions = append(e.partitions, partition)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	e.times = query.IDTimes(e.ids)
	return e, nil
}

func (e *events) add(stored *query.Stored, committed, salts, digest []byte) error {
	e.found[stored.ID] = struct{}{}
	if stored.RecordedBy == ownevent.RecordedBy {
		e.own = append(e.own, stored.ID)
		return nil
	}
	if stored.ErasedAt != nil {
		return nil
	}
	if len(committed) == 0 {
		return ErrIncomplete
	}
	data, err := wire.CanonicalData(stored.Data, stored.Type, len(stored.Data)*canonicalGrowth+1)
	if err != nil || len(salts) != len(commitment.Salts{}) {
		e.altered = append(e.altered, stored.ID)
		return nil //nolint:nilerr // nothing that was committed to has no such form
	}
	stored.Data, stored.Salts = data, commitment.Salts(salts)
	parts := stored.Parts()
	if sum := parts.Commitment(); !slices.Equal(sum[:], committed) {
		// Erasing it would hide that it was altered.
		e.altered = append(e.altered, stored.ID)
		return nil
	}
	e.ids = append(e.ids, stored.ID)
	e.parts = append(e.parts, slices.Concat(parts.Subject[:], parts.Data[:]))
	e.digests = append(e.digests, digest)
	return nil
}

func (e *events) missing(wanted []uuid.UUID) []uuid.UUID {
	return slices.DeleteFunc(slices.Clone(wanted), func(id uuid.UUID) bool {
		_, found := e.found[id]
		return found
	})
}

// counts are those of events in the rollup, by their namespaces.
const counts = `SELECT date_trunc('minute', ` + schema.SortTime + `) AS minute, event_type, event_outcome, coalesce(severity, '') AS severity, namespace, count(*) AS events
	FROM unnest($1::timestamptz[], $2::uuid[]) AS k (id_of, id) JOIN audit_events ON id_time = id_of AND event_id = id
	JOIN audit_batches USING (batch_id) WHERE rolled_up AND namespace <> '' GROUP BY 1, 2, 3, 4, 5`

// uncount moves the counts of the events to those without a namespace. It comes
// before the namespaces are erased.
func (e *events) uncount(ctx context.Context, tx pgx.Tx) error {
	for _, statement := range []string{
		`WITH counts AS (` + counts + `) INSERT INTO audit_rollup AS r (minute, event_type, event_outcome, severity, namespace, events)
			SELECT minute, event_type, event_outcome, severity, '', sum(events) FROM counts GROUP BY 1, 2, 3, 4
			ON CONFLICT (minute, event_type, event_outcome, severity, namespace) DO UPDATE SET events = r.events + excluded.events`,
		`WITH counts AS (` + counts + `) UPDATE audit_rollup AS r SET events = r.events - c.events FROM counts AS c
			WHERE (r.minute, r.event_type, r.event_outcome, r.severity, r.namespace) = (c.minute, c.event_type, c.event_outcome, c.severity, c.namespace)`,
		`DELETE FROM audit_rollup AS r USING (` + counts + `) AS c WHERE r.events <= 0
			AND (r.minute, r.event_type, r.event_outcome, r.severity, r.namespace) = (c.minute, c.event_type, c.event_outcome, c.severity, c.namespace)`,
	} {
		if _, err := tx.Exec(ctx, statement, e.times, e.ids); err != nil {
			return fmt.Errorf("take the namespaces out of audit_rollup: %w", err)
		}
	}
	return nil
}
