package database

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

// copying is a COPY that waits for its client.
type copying struct {
	PID   int32
	Since time.Time // the statements began
	Bytes int64     // that the server has read
}

// waiting is how long a COPY has waited without a byte.
type waiting struct {
	bytes int64
	since time.Time
}

// vanished ends COPYs whose client has vanished. PostgreSQL ends a transaction that
// is idle and a statement that takes too long, but not one that waits for data:
// neither statement_timeout nor a cancellation interrupts that. Such a transaction
// keeps others from storing the same events until TCP gives the connection up,
// which a proxy in between can put off without end. The server's word that it has
// read nothing for a while does not depend on what is in between, and holds for
// clients of other replicas, too.
type vanished struct {
	seen map[copyID]waiting
}

type copyID struct {
	pid   int32
	began time.Time
}

// copiesThatWait are those of this role. A superuser's are nobody's business here.
const copiesThatWait = `SELECT p.pid, a.query_start, p.bytes_processed
	FROM pg_stat_progress_copy AS p JOIN pg_stat_activity AS a USING (pid)
	WHERE p.datname = current_database() AND p.command = 'COPY FROM' AND p.type = 'PIPE' AND a.usename = current_user
	AND p.relid IN ('audit_events'::regclass, 'audit_batches'::regclass) AND a.wait_event = 'ClientRead'`

// end ends the connection of each COPY that has not got a byte for idleTimeout, and
// returns how many it ended.
func (v *vanished) end(ctx context.Context, db *pgxpool.Pool, now time.Time) (int, error) {
	rows, err := db.Query(ctx, copiesThatWait)
	if err != nil {
		return 0, fmt.Errorf("look for clients that vanished: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[copying])
	if err != nil {
		return 0, fmt.Errorf("look for clients that vanished: %w", err)
	}
	still := make(map[copyID]waiting, len(found))
	ended := 0
	for _, c := range found {
		id := copyID{c.PID, c.Since}
		w, known := v.seen[id]
		if !known || w.bytes != c.Bytes {
			w = waiting{bytes: c.Bytes, since: now}
		}
		still[id] = w
		if now.Sub(w.since) < idleTimeout {
			continue
		}
		// Of the same transaction: the number of a process is used again.
		const terminate = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND query_start = $2`
		if _, err := db.Exec(ctx, terminate, c.PID, c.Since); err != nil {
			return ended, fmt.Errorf("end the transaction of a client that vanished: %w", err)
		}
		ended++
	}
	v.seen = still
	return ended, nil
}

// endVanished runs beside the looks at the database; what it cannot do is tried
// again at the next one.
func (w *Watch) endVanished(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	ended, err := w.vanished.end(ctx, w.pools.Probe, w.clock.Now())
	w.ended.Add(uint64(ended)) //nolint:gosec // not negative
	if ended > 0 {
		w.log.Warn("ended transactions whose client had vanished", zap.Int("transactions", ended),
			zap.String("consequence", "their events were not stored; the senders send them again"),
			zap.String("remedy", "look for a network between DataStorage and PostgreSQL that loses connections, and for replicas that hang"))
	}
	if err != nil && ctx.Err() == nil {
		w.log.Warn("cannot look for clients that vanished", zap.Error(Explain(w.pools.config, err)))
	}
}

// Ended returns how many transactions were ended because their client had vanished.
func (w *Watch) Ended() uint64 { return w.ended.Load() }
