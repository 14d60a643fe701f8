package database

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

const (
	// maxErasures bounds one look; package erasure records no more requests than that.
	maxErasures = 1000
	// erasuresTimeout bounds it too: whoever locks the table must not keep the watch from its work.
	erasuresTimeout = time.Second
)

// Erasures are the requests for erasures that wait for maintenance.
type Erasures struct {
	Waiting int
	// Oldest is when the one that waits longest was made. It is zero if none waits.
	Oldest time.Time
}

func readErasures(ctx context.Context, db *pgxpool.Pool) (e Erasures, err error) {
	query := `SELECT count(*), min(` + PlainTime("requested_at") + `) FROM (SELECT requested_at FROM audit_requests WHERE finished_at IS NULL ORDER BY requested_at LIMIT $1) AS waiting`
	var oldest *time.Time
	if err := db.QueryRow(ctx, query, maxErasures).Scan(&e.Waiting, &oldest); err != nil {
		return Erasures{}, fmt.Errorf("look for erasures that wait: %w", err)
	}
	if oldest != nil {
		e.Oldest = *oldest
	}
	return e, nil
}

// seeErasures runs beside the looks at the database. If it fails, what was seen last
// stays: a request that waits does not end because nobody can see it.
func (w *Watch) seeErasures(ctx context.Context) {
	look, cancel := context.WithTimeout(ctx, erasuresTimeout)
	defer cancel()
	seen, err := readErasures(look, w.pools.Probe)
	if err != nil {
		if ctx.Err() == nil && !w.blind {
			w.log.Warn("cannot look for erasures that wait", zap.Error(Explain(w.pools.config, err)),
				zap.String("consequence", "the metrics about them stay as they are"))
			w.blind = true
		}
		return
	}
	w.blind = false
	w.mu.Lock()
	defer w.mu.Unlock()
	w.erasures = seen
}

// Erasures returns the requests that waited at the last look.
func (w *Watch) Erasures() Erasures {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.erasures
}
