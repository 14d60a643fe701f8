package consistency

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"
)

// ErrBehind means that the database has not, or not yet, what a token vouches for.
var ErrBehind = errors.New("the database does not have what the token vouches for")

// pollEvery is how often a standby is asked how far it has replayed: half
// of what a local transaction takes to get there.
const pollEvery = 5 * time.Millisecond

// Querier is a connection. Position and the query that relies on it must use the same one.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// PositionQuery asks a primary how far its log is on disk. A walfile's name starts
// with its timeline; the control file knows a new one only after the next checkpoint.
// Every transaction of ingest asks it, so it has no FROM, which would cost a plan.
const PositionQuery = `SELECT pg_walfile_name(pg_current_wal_flush_lsn()), pg_current_wal_flush_lsn()::text`

// Position reads how far a primary's log is on disk: what has been committed
// before, by anybody, is covered by it.
func Position(ctx context.Context, db Querier) (Token, error) {
	var file, lsn string
	if err := db.QueryRow(ctx, PositionQuery).Scan(&file, &lsn); err != nil {
		return Token{}, fmt.Errorf("read the log's position: %w", err)
	}
	return position(file, lsn)
}

// PositionOf reads the row that PositionQuery returned, as text.
func PositionOf(row []string) (Token, error) {
	const columns = 2
	if len(row) != columns {
		return Token{}, fmt.Errorf("read the log's position: %d columns", len(row))
	}
	return position(row[0], row[1])
}

// position reads the name of a file of the log, which starts with eight hexadecimal digits of its
// timeline, and a position in the form of pg_lsn, as in 16/B374D848.
func position(file, lsn string) (Token, error) {
	const digits, hex, half = 8, 16, 32
	timeline, err := strconv.ParseUint(file[:min(digits, len(file))], hex, half)
	if err != nil {
		return Token{}, fmt.Errorf("read the log's timeline: %w", err)
	}
	highText, lowText, _ := strings.Cut(lsn, "/")
	high, highErr := strconv.ParseUint(highText, hex, half)
	low, lowErr := strconv.ParseUint(lowText, hex, half)
	if err := errors.Join(highErr, lowErr); err != nil {
		return Token{}, fmt.Errorf("read the log's position: %w", err)
	}
	return Token{Timeline: uint32(timeline), LSN: high<<half | low}, nil
}

// Gate lets queries pass that demand what the database has. It is safe for
// concurrent use.
type Gate struct {
	clock clock.WithTicker
	wait  time.Duration
}

// NewGate makes a gate that waits at most wait for a standby.
func NewGate(c clock.WithTicker, wait time.Duration) *Gate {
	return &Gate{clock: c, wait: wait}
}

// Await returns nil when everything that the tokens vouch for is visible to the
// next statement on db, and an error that wraps ErrBehind when that cannot be
// shown: on a primary at once, on a standby after waiting for its replay.
func (g *Gate) Await(ctx context.Context, db Querier, tokens []Token) error {
	if len(tokens) == 0 {
		return nil
	}
	var standby bool
	if err := db.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil {
		return fmt.Errorf("ask for the server's role: %w", err)
	}
	if !standby {
		have, err := Position(ctx, db)
		if err != nil {
			return err
		}
		return covers(have, tokens)
	}
	return g.awaitReplay(ctx, db, tokens)
}

func (g *Gate) awaitReplay(ctx context.Context, db Querier, tokens []Token) error {
	deadline := g.clock.NewTimer(g.wait)
	defer deadline.Stop()
	poll := g.clock.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		have, err := replayed(ctx, db)
		if err != nil {
			return err
		}
		behind := covers(have, tokens)
		if behind == nil {
			return nil
		}
		select {
		case <-poll.C():
		case <-deadline.C():
			return fmt.Errorf("standby, after %s: %w", g.wait, behind)
		case <-ctx.Done():
			return fmt.Errorf("wait for the standby: %w", ctx.Err())
		}
	}
}

// replayed reads how far a standby is. It may hear of a new timeline in three
// places, each of which can lag; a timeline never goes back.
func replayed(ctx context.Context, db Querier) (Token, error) {
	const query = `SELECT lpad(to_hex(greatest(
			(SELECT timeline_id FROM pg_control_checkpoint()),
			(SELECT min_recovery_end_timeline FROM pg_control_recovery()),
			(SELECT received_tli FROM pg_stat_get_wal_receiver()))), 8, '0'),
		coalesce(pg_last_wal_replay_lsn(), '0/0')::text`
	var file, lsn string
	if err := db.QueryRow(ctx, query).Scan(&file, &lsn); err != nil {
		return Token{}, fmt.Errorf("read the standby's position: %w", err)
	}
	return position(file, lsn)
}

func covers(have Token, tokens []Token) error {
	for _, want := range tokens {
		switch {
		case want.Timeline != have.Timeline:
			return fmt.Errorf("%w: it is of timeline %d, the database is on %d: after a failover, flush again", ErrBehind, want.Timeline, have.Timeline)
		case want.LSN > have.LSN:
			return fmt.Errorf("%w: it is %d bytes of log ahead", ErrBehind, want.LSN-have.LSN)
		}
	}
	return nil
}
