package maintain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/schema"
)

const (
	leaseName = "maintenance"
	// leaseTime is how long another run waits for one that was killed.
	leaseTime  = 30 * time.Second
	leaseRenew = 10 * time.Second
)

var (
	// ErrBusy means that another run has the lease.
	ErrBusy = errors.New("another maintenance run is at work")
	// errLost means that another run took the lease over, for instance while this process was paused.
	errLost = errors.New("the lease was taken over by another run")
)

// lease is the right to work. It is a row, not a session's lock, so that it works
// through a connection pooler. Each slice checks it in its own transaction.
type lease struct {
	holder string
	fence  int64
}

func (r *Runner) take(ctx context.Context) (*lease, error) {
	l := &lease{holder: r.options.Holder}
	const query = `INSERT INTO audit_leases AS l (name, holder, fence, expires_at) VALUES ($1, $2, 1, now() + $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = l.fence + 1, expires_at = excluded.expires_at
		WHERE l.expires_at < now() RETURNING fence`
	err := r.db.QueryRow(ctx, query, leaseName, l.holder, leaseTime).Scan(&l.fence)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrBusy
	}
	if err != nil {
		return nil, fmt.Errorf("take the lease: %w", err)
	}
	return l, nil
}

// keep renews the lease until ctx ends. If it is lost, it calls lost.
func (r *Runner) keep(ctx context.Context, l *lease, lost func(error)) {
	ticker := r.options.Clock.NewTicker(leaseRenew)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		// An error is not the end: the next renewal may come in time.
		if held, err := r.renew(ctx, l); err == nil && !held {
			lost(errLost)
			return
		}
	}
}

// renew reports whether the lease is still l's. The server may execute a renewal that
// its client has given up after the lease was released, which it must not take back.
func (r *Runner) renew(ctx context.Context, l *lease) (held bool, err error) {
	const query = `UPDATE audit_leases SET expires_at = now() + $4 WHERE name = $1 AND holder = $2 AND fence = $3 AND expires_at > '-infinity'`
	done, err := r.db.Exec(ctx, query, leaseName, l.holder, l.fence, leaseTime)
	if err != nil {
		return false, fmt.Errorf("renew the lease: %w", err)
	}
	return done.RowsAffected() > 0, nil
}

// release lets the next run begin at once.
func (r *Runner) release(ctx context.Context, l *lease) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	// Without it, the lease ends by itself.
	_, _ = r.db.Exec(ctx, `UPDATE audit_leases SET expires_at = '-infinity' WHERE name = $1 AND holder = $2 AND fence = $3`,
		leaseName, l.holder, l.fence)
}

// slice runs one bounded transaction under the lease.
func (r *Runner) slice(ctx context.Context, do func(ctx context.Context, tx pgx.Tx) error) error {
	const begin = schema.Begin + `; SET LOCAL lock_timeout = '` + schema.LockTimeout + `'; SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '10s'`
	return pgx.BeginTxFunc(ctx, r.db, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error { //nolint:wrapcheck // the caller says what
		if err := r.holds(ctx, tx); err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

// holds returns errLost if the lease is another's. Nobody takes it over before the transaction ends.
func (r *Runner) holds(ctx context.Context, tx pgx.Tx) error {
	var held bool
	err := tx.QueryRow(ctx, `SELECT true FROM audit_leases WHERE name = $1 AND holder = $2 AND fence = $3 FOR SHARE`,
		leaseName, r.lease.holder, r.lease.fence).Scan(&held)
	if errors.Is(err, pgx.ErrNoRows) {
		return errLost
	}
	if err != nil {
		return fmt.Errorf("check the lease: %w", err)
	}
	return nil
}
