package maintain

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"kubernaut.ai/internal/commitment"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/query"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// pages is how many pages of a table one slice looks at, if it does not find its
// number of events before.
const pages = 64

// complete gives events a commitment and a batch that were stored by a program
// that did not: the events of a database that was migrated, and those of programs
// that ran beside the migration. Their batches say so, because such a commitment
// proves nothing about the time before it was made.
func (r *Runner) complete(ctx context.Context, report *Report) error {
	rows, err := r.db.Query(ctx, `SELECT inhrelid::regclass::text, (SELECT i.inhrelid::regclass::text FROM pg_inherits AS i JOIN pg_index ON indexrelid = i.inhrelid
			WHERE i.inhparent = 'audit_events_by_batch'::regclass AND indrelid = p.inhrelid)
		FROM pg_inherits AS p WHERE inhparent = 'audit_events'::regclass ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	type partition struct {
		Name  string
		Index *string
	}
	partitions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[partition])
	if err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	for _, p := range partitions {
		if p.Index == nil {
			continue // it is being built
		}
		done, err := r.completePartition(ctx, p.Name, *p.Index)
		report.Completed += done
		if err != nil {
			return fmt.Errorf("partition %s: %w", p.Name, err)
		}
	}
	return nil
}

func (r *Runner) completePartition(ctx context.Context, table, index string) (completed int64, err error) {
	last, err := r.lastPage(ctx, table, index)
	if err != nil || last < 0 {
		return 0, err
	}
	for page := int64(0); page <= last; {
		var done int64
		err := r.slice(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			done, err = r.completePages(ctx, tx, table, page)
			return err
		})
		completed += done
		if err != nil {
			return completed, err
		}
		if done < int64(r.options.Slice) {
			page += pages
		}
		if err := r.between(); err != nil {
			return completed, err
		}
	}
	// The index remembers that pages had events without a batch until it is built again.
	if _, err := r.db.Exec(ctx, `REINDEX INDEX CONCURRENTLY `+index); err != nil {
		return completed, fmt.Errorf("rebuild index %s: %w", index, err)
	}
	return completed, nil
}

// lastPage returns the last page of a table that has events without a batch, and
// -1 if it has none. Events that arrive later have the next run.
func (r *Runner) lastPage(ctx context.Context, table, index string) (last int64, err error) {
	last = -1
	err = r.slice(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT brin_summarize_new_values($1::regclass)`, index); err != nil {
			return fmt.Errorf("summarize index %s: %w", index, err)
		}
		if _, err := tx.Exec(ctx, `SET LOCAL enable_seqscan = off`); err != nil {
			return fmt.Errorf("use index %s: %w", index, err)
		}
		query := `SELECT CASE WHEN EXISTS (SELECT FROM ` + table + ` WHERE batch_id IS NULL)
			THEN pg_relation_size($1::regclass) / current_setting('block_size')::bigint ELSE -1 END`
		if err := tx.QueryRow(ctx, query, table).Scan(&last); err != nil {
			return fmt.Errorf("look for events without a batch: %w", err)
		}
		return nil
	})
	return last, err
}

// row is an event without a batch.
type row struct {
	event.Event

	placed    *time.Time // sort_time
	committed []byte
	salts     []byte
}

// completePages completes the events on some pages, at most as many as a slice has.
func (r *Runner) completePages(ctx context.Context, tx pgx.Tx, table string, page int64) (int64, error) {
	rows, err := tx.Query(ctx, `SELECT `+query.Columns+`, sort_time, commitment, salts FROM `+table+`
		WHERE ctid >= $1::text::tid AND ctid < $2::text::tid AND batch_id IS NULL LIMIT $3`,
		fmt.Sprintf("(%d,0)", page), fmt.Sprintf("(%d,0)", page+pages), r.options.Slice)
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(one pgx.CollectableRow) (*row, error) {
		var e row
		stored, err := query.ScanWith(one, &e.placed, &e.committed, &e.salts)
		e.Event = stored.Event
		return &e, err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	if len(found) == 0 {
		return 0, nil
	}
	id, err := r.batches.Next(ctx, tx)
	if err != nil {
		return 0, err //nolint:wrapcheck // says all there is
	}
	return int64(len(found)), store(ctx, tx, table, id, found)
}

// store writes the batch of events.
func store(ctx context.Context, tx pgx.Tx, table string, batch int64, events []*row) error {
	var (
		backfilled  bool
		times       = make([]pgtype.Timestamptz, len(events))
		ids         = make([]uuid.UUID, len(events))
		placed      = make([]*time.Time, len(events))
		committed   = make([][]byte, len(events))
		salts       = make([][]byte, len(events))
		commitments = make([]byte, 0, len(events)*len(commitment.Sum{}))
	)
	for i, e := range events {
		if e.committed == nil {
			backfilled = true
			if err := e.commit(); err != nil {
				return fmt.Errorf("event %s: %w", e.ID, err)
			}
		}
		times[i], ids[i], placed[i], committed[i], salts[i] = schema.IDTime(event.IDTime(e.ID)), e.ID, e.placed, e.committed, e.salts
		commitments = append(commitments, e.committed...)
	}
	done, err := tx.Exec(ctx, `UPDATE `+table+` AS e SET batch_id = $1, batch_position = n.position - 1, sort_time = n.placed, commitment = n.committed, salts = n.salts
		FROM unnest($2::timestamptz[], $3::uuid[], $4::timestamptz[], $5::bytea[], $6::bytea[]) WITH ORDINALITY AS n (id_time, event_id, placed, committed, salts, position)
		WHERE e.id_time = n.id_time AND e.event_id = n.event_id`, batch, times, ids, placed, committed, salts)
	if err == nil && done.RowsAffected() != int64(len(events)) {
		err = fmt.Errorf("%d rows changed", done.RowsAffected())
	}
	if err != nil {
		return fmt.Errorf("complete %d events: %w", len(events), err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO audit_batches (batch_id, received_at, events, commitments, backfilled) VALUES ($1, now(), $2, $3, $4)`,
		batch, len(events), commitments, backfilled); err != nil {
		return fmt.Errorf("store batch %d: %w", batch, err)
	}
	return nil
}

// commit makes the commitment of an event that has none.
func (e *row) commit() (err error) {
	if e.Data, err = wire.CanonicalData(e.Data, e.Type, len(e.Data)*canonicalGrowth+1); err != nil {
		return fmt.Errorf("canonical form of event_data: %w", err)
	}
	if _, err := rand.Read(e.Salts[:]); err != nil {
		return fmt.Errorf("make salts: %w", err)
	}
	if place := e.SortTime(); !place.Equal(e.Timestamp) {
		e.placed = &place
	}
	sum := e.Parts().Commitment()
	e.committed, e.salts = sum[:], e.Salts[:]
	return nil
}

// canonicalGrowth bounds how much larger the canonical form can be: a control
// character, which jsonb writes as \n, takes 6 bytes.
const canonicalGrowth = 3
