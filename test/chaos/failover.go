package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/test/verdict"
)

// maxRefused bounds the time in which writes are refused at one promotion.
const maxRefused = 10 * time.Second

// Failover kills the primary of three PostgreSQL servers with synchronous
// replication, promotes the standby that has received most, lets the other one
// follow it, and makes a standby of the one that was killed. DataStorage reaches
// all three through one URL. Everything that it acknowledged is stored once, and it
// refuses writes for at most ten seconds each time.
func Failover(ctx context.Context, o Options) (result verdict.Result, err error) {
	servers, err := newReplicas(ctx)
	defer func() { err = errors.Join(err, servers.stop(context.WithoutCancel(ctx))) }()
	if err != nil {
		return verdict.Result{}, err
	}
	load, err := underLoad(ctx, postgres.AnyOf(tortureDatabase, servers.all()...), func(ctx context.Context, ticks <-chan struct{}) error {
		return o.disturb(ctx, ticks, &result, servers.failover)
	})
	if err != nil {
		return result, err
	}
	if err := load.check(ctx, &result, postgres.AnyOf(tortureDatabase, servers.all()...)); err != nil {
		return result, err
	}
	if load.refused > maxRefused {
		return result, fmt.Errorf("writes were refused for %s, at most %s is promised", load.refused, maxRefused)
	}
	return result, nil
}

// replica is one of the servers, with the name that it has as a standby.
type replica struct {
	*postgres.Server

	name string
}

// replicas are a primary, which is the first, and its standbys.
type replicas []replica

// replicationSettings let a standby notice a new primary soon.
var replicationSettings = map[string]string{"wal_retrieve_retry_interval": "200ms", "wal_receiver_timeout": "2s", "wal_keep_size": "256MB"}

func newReplicas(ctx context.Context) (replicas, error) {
	first, err := ownPostgres(ctx, replicationSettings)
	if err != nil {
		return nil, err
	}
	all := replicas{{first, "first"}}
	for _, name := range []string{"second", "third"} {
		standby, err := first.Standby(ctx, name)
		if err != nil {
			return all, fmt.Errorf("prepare: %w", err)
		}
		all = append(all, replica{standby, name})
	}
	// Each of them: a server that is promoted does not get the setting from its former primary.
	for _, one := range all {
		if err := one.Set(ctx, "synchronous_standby_names", "ANY 1 (*)"); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (r replicas) all() []*postgres.Server {
	servers := make([]*postgres.Server, len(r))
	for i := range r {
		servers[i] = r[i].Server
	}
	return servers
}

func (r replicas) stop(ctx context.Context) error {
	errs := make([]error, 0, len(r))
	for _, one := range r {
		errs = append(errs, one.Stop(ctx))
	}
	return errors.Join(errs...)
}

// failover kills the primary. A commit waits for one of the standbys, so the one
// that has received most has everything that was acknowledged.
func (r replicas) failover(ctx context.Context) error {
	killed, standbys := r[0], r[1:]
	if err := killed.Kill(ctx); err != nil {
		return err
	}
	received := map[string]uint64{}
	for _, one := range standbys {
		lsn, err := one.Received(ctx)
		if err != nil {
			return err
		}
		received[one.name] = lsn
	}
	slices.SortFunc(standbys, func(a, b replica) int { return -cmp.Compare(received[a.name], received[b.name]) })
	next, other := standbys[0], standbys[1]
	if err := next.Promote(ctx); err != nil {
		return err
	}
	if err := other.Follow(ctx, next.Server, other.name); err != nil {
		return err
	}
	if err := killed.Rejoin(ctx, next.Server, killed.name); err != nil {
		return err
	}
	r[0], r[1], r[2] = next, other, killed
	return nil
}
