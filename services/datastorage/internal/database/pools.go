package database

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
)

// MaxConnections bounds the size of all pools together.
const MaxConnections = 10_000

// Shares are the sizes of the pools. None can use another's connections.
type Shares struct{ Ingest, Probe, Query int }

const (
	// flushes need a connection besides those of the writers.
	flushes = 1
	// probes: the watch, and readiness or the work on partitions.
	probes = 2
)

// Split divides the connections of a process: ingest has one for each writer and
// one for flushes, probes have two, and queries have the rest, at least one.
func Split(connections, writers int) (Shares, error) {
	s := Shares{Ingest: writers + flushes, Probe: probes}
	s.Query = connections - s.Ingest - s.Probe
	if s.Query < 1 {
		return Shares{}, cli.Usagef("--database-max-connections %d: want at least %d: %d for ingest (--writers %d), %d for probes, 1 for queries",
			connections, s.Ingest+s.Probe+1, s.Ingest, writers, s.Probe)
	}
	return s, nil
}

func (s Shares) total() int { return s.Ingest + s.Probe + s.Query }

// Options of Open.
type Options struct {
	Shares

	// QueryTimeout bounds each query.
	QueryTimeout time.Duration
	// Queries traces statements; none if it is nil.
	Queries pgx.QueryTracer
	// Idle bounds the connections of all pools together that stay open unused.
	Idle  int
	Log   *zap.Logger
	Clock clock.WithTicker
	Wait  lifecycle.Wait
}

// Pools are the connections to the database, by use.
type Pools struct {
	Ingest, Probe, Query *pgxpool.Pool
	// Watch knows the state of the database while it runs.
	Watch *Watch

	config       *pgx.ConnConfig
	queryTimeout time.Duration
	// busy counts the queries that found no connection.
	busy atomic.Uint64
}

// QueryRefused counts a query that found no connection.
func (p *Pools) QueryRefused() { p.busy.Add(1) }

// Busy returns how many queries found no connection, all in all.
func (p *Pools) Busy() uint64 { return p.busy.Load() }

// Open makes the pools, waits until the database answers, and checks that the
// server allows as many connections.
func Open(ctx context.Context, config *pgxpool.Config, o Options) (*Pools, error) {
	p := &Pools{config: config.ConnConfig, queryTimeout: o.QueryTimeout}
	p.Watch = newWatch(p, o.Log, o.Clock)
	for _, one := range []struct {
		pool **pgxpool.Pool
		size int
	}{{&p.Ingest, o.Ingest}, {&p.Probe, o.Probe}, {&p.Query, o.Query}} {
		c := p.configure(config, one.size, o.Idle)
		c.ConnConfig.Tracer = o.Queries
		if one.pool == &p.Query {
			c.AfterConnect = p.limited(c.AfterConnect)
		}
		var err error
		if *one.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
			p.Close()
			return nil, fmt.Errorf("open database pool: %w", err)
		}
	}
	o.Wait.Transient = Transient
	err := o.Wait.Until(ctx, func(ctx context.Context) error {
		if err := p.check(ctx, config, o.total()); err != nil {
			return Explain(config.ConnConfig, err)
		}
		return nil
	})
	if err != nil {
		p.Close()
		return nil, err //nolint:wrapcheck // says where and what to do
	}
	return p, nil
}

// reset closes the connections of pools: idle ones at once, others when they are given back.
func reset(pools ...*pgxpool.Pool) {
	for _, one := range pools {
		one.Reset()
	}
}

// Close returns when every connection was given back.
func (p *Pools) Close() {
	for _, one := range p.all() {
		one.Close()
	}
}

// limited makes the connections of queries have the limits of queries.
func (p *Pools) limited(examine func(context.Context, *pgx.Conn) error) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		if err := examine(ctx, conn); err != nil {
			return err
		}
		return limitReads(ctx, conn, p.queryTimeout)
	}
}

func (p *Pools) configure(config *pgxpool.Config, size, idle int) *pgxpool.Config {
	c := config.Copy()
	c.MaxConns = int32(min(size, MaxConnections)) //nolint:gosec // bounded
	c.MinConns, c.MinIdleConns = 0, 0
	c.ConnConfig.OnNotice = noteWarning
	c.ConnConfig.OnPgError = p.usable
	c.AfterRelease = func(*pgx.Conn) bool { return p.idle() < idle }
	return c
}

// usable reports whether a connection can be used again after an error.
func (p *Pools) usable(_ *pgconn.PgConn, err *pgconn.PgError) bool {
	if slices.Contains(staleCodes, err.Code) {
		p.Watch.Failed(err)
		return false
	}
	return !strings.EqualFold(err.Severity, "FATAL") && !strings.EqualFold(err.SeverityUnlocalized, "FATAL")
}

// all are the pools that exist.
func (p *Pools) all() []*pgxpool.Pool {
	return slices.DeleteFunc([]*pgxpool.Pool{p.Ingest, p.Probe, p.Query}, func(one *pgxpool.Pool) bool { return one == nil })
}

func (p *Pools) idle() int {
	idle := 0
	for _, one := range p.all() {
		idle += int(one.Stat().IdleConns())
	}
	return idle
}

// check compares the server's limit. A pooler has limits of its own.
func (p *Pools) check(ctx context.Context, config *pgxpool.Config, connections int) error {
	conn, err := Connect(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // it was for this question only
	if conn.Config().DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		return nil
	}
	var most, reserved int
	const query = `SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int`
	if err := conn.QueryRow(ctx, query).Scan(&most, &reserved); err != nil {
		return fmt.Errorf("read max_connections: %w", err)
	}
	if available := most - reserved; connections > available {
		return cli.Usagef(
			"--database-max-connections %d is more than the server allows (max_connections %d, of which %d are reserved): lower it to %d or less, or raise the server's max_connections",
			connections, most, reserved, available)
	}
	return nil
}
