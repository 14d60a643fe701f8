package database

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"
	"k8s.io/utils/clock"
)

const (
	// watchEvery is the time between two looks at the database.
	watchEvery = 2 * time.Second
	// watchTimeout bounds one look.
	watchTimeout = 5 * time.Second
	// watchPause bounds how soon a failure makes the watch look again.
	watchPause = 200 * time.Millisecond
)

// State is what is known of the database.
type State int

// The states of a database.
const (
	// Unknown until the first look.
	Unknown State = iota
	// Up: it answers, and takes writes.
	Up
	// ReadOnly: it answers, but is a standby or read-only for another reason.
	ReadOnly
	// Down: it does not answer.
	Down
)

// ErrReadOnly means that the server takes no writes.
var ErrReadOnly = errors.New("the server is read-only")

// Replication is how a primary replicates.
type Replication int

// The kinds of replication.
const (
	// NoStandby: none is connected.
	NoStandby Replication = iota
	// Asynchronous: a commit does not wait for a standby.
	Asynchronous
	// Synchronous: it does.
	Synchronous
)

// Watch looks at the database again and again, tells the log when it goes away and
// when it is back, and closes connections that lead to a former primary. Its
// methods are safe for concurrent use.
type Watch struct {
	pools *Pools
	log   *zap.Logger
	clock clock.WithTicker
	kick  chan struct{}

	vanished vanished // used by Run alone
	ended    atomic.Uint64
	blind    bool // used by Run alone: the last look for erasures failed

	mu          sync.Mutex
	state       State
	since       time.Time // of a state that is not Up
	replication Replication
	erasures    Erasures
}

func newWatch(p *Pools, log *zap.Logger, c clock.WithTicker) *Watch {
	return &Watch{pools: p, log: log, clock: c, kick: make(chan struct{}, 1)}
}

// State returns what is known.
func (w *Watch) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Replication returns how the primary replicates, as far as this database user can see.
func (w *Watch) Replication() Replication {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.replication
}

// Run looks every two seconds until ctx ends, and soon after a failure.
func (w *Watch) Run(ctx context.Context) error {
	ticker := w.clock.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if err := w.Check(ctx); err == nil { // else it is in the log
			w.endVanished(ctx)
			w.seeErasures(ctx)
		}
		pause := w.clock.NewTimer(watchPause)
		select {
		case <-pause.C():
		case <-ctx.Done():
		}
		pause.Stop()
		select {
		case <-ticker.C():
		case <-w.kick:
		case <-ctx.Done():
			return nil
		}
	}
}

// Check looks at the database. It returns nil if it takes writes, ErrReadOnly if
// it answers, and else the reason.
func (w *Watch) Check(ctx context.Context) error {
	look, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	seen, err := w.look(look)
	switch {
	case err == nil && seen.writable():
		w.up(seen)
		return nil
	case err == nil:
		// The next connections may find the new primary under the same address. Queries
		// keep theirs, once they are on a standby.
		reset(w.pools.Ingest, w.pools.Probe)
		err = fmt.Errorf("%w: %s", ErrReadOnly, seen.reason())
		w.away(ReadOnly, err)
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("look at the database: %w", context.Cause(ctx)) // the caller gave up
	default:
		w.away(Down, err)
		return Explain(w.pools.config, err)
	}
}

// look is what a server says about itself.
type look struct {
	standby, readOnly, synchronous bool
	standbys                       int
}

func (l look) writable() bool { return !l.standby && !l.readOnly }

func (l look) reason() string {
	if l.standby {
		return "it is a standby (pg_is_in_recovery)"
	}
	return "default_transaction_read_only is on"
}

// Failed tells the watch of an error of a statement or an attempt to connect. One
// that says that the database is away counts at once; a slow attempt makes the
// watch look.
func (w *Watch) Failed(err error) {
	away := Away(err)
	if _, slow := errors.AsType[*SlowConnectError](err); !slow && !away {
		return
	}
	if away {
		state := Down
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == codeReadOnly {
			state = ReadOnly
		}
		w.away(state, err)
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

func (w *Watch) look(ctx context.Context) (look, error) {
	// Base backups, their copies of the log, and subscribers are no standbys. Only
	// members of pg_read_all_stats see the state.
	const query = `SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', current_setting('synchronous_standby_names') <> '',
		(SELECT count(*) FROM pg_stat_replication AS r WHERE state IS DISTINCT FROM 'backup' AND application_name NOT IN ('pg_basebackup', 'pg_receivewal')
			AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE active_pid = r.pid AND (slot_type = 'logical' OR slot_name LIKE 'pg\_basebackup\_%')))`
	var l look
	if err := w.pools.Probe.QueryRow(ctx, query).Scan(&l.standby, &l.readOnly, &l.synchronous, &l.standbys); err != nil {
		return look{}, fmt.Errorf("look at the database: %w", err)
	}
	return l, nil
}

// away notes that the database cannot be used, and logs the beginning of it.
func (w *Watch) away(state State, reason error) {
	w.mu.Lock()
	before := w.state
	w.state = state
	if before != Down && before != ReadOnly {
		w.since = w.clock.Now()
	}
	w.mu.Unlock()
	if before == state {
		return
	}
	reset(w.pools.all()...)
	remedy := "events stay pending with their senders; check that PostgreSQL runs, and --database-url"
	if state == ReadOnly {
		remedy = "events stay pending with their senders; point the database's address to the primary, or promote this server"
	}
	w.log.Warn("database away", zap.Stringer("state", state), zap.Error(Explain(w.pools.config, reason)), zap.String("remedy", remedy))
}

// up notes that the database takes writes, and logs the end of its absence.
func (w *Watch) up(seen look) {
	replication := NoStandby
	switch {
	case seen.synchronous:
		replication = Synchronous
	case seen.standbys > 0:
		replication = Asynchronous
	}
	w.mu.Lock()
	before, since, replicated := w.state, w.since, w.replication
	w.state, w.replication = Up, replication
	w.mu.Unlock()
	if before == Down || before == ReadOnly {
		w.log.Info("database back", zap.Duration("away_for", w.clock.Since(since)))
	}
	if replication == replicated {
		return
	}
	if replication == Asynchronous {
		w.log.Warn("database replicates asynchronously", zap.Int("standbys", seen.standbys),
			zap.String("consequence", "a failover loses the events of the last moments, although they were acknowledged"),
			zap.String("remedy", "set synchronous_standby_names on the server"))
	} else if replicated == Asynchronous {
		w.log.Info("database no longer replicates asynchronously")
	}
}

// String implements fmt.Stringer.
func (s State) String() string {
	return []string{"unknown", "up", "read-only", "down"}[s]
}
