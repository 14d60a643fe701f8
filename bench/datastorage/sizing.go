package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// sizings are the loads of the table in docs/operating.md.
var sizings = []load{{"4 clients × 1000", 4, 1000, 0}, {"12 clients × 100", 12, 100, 0}, {"64 clients × 1", 64, 1, 0}, {"1 client × 1", 1, 1, 0}}

// measureSizing prints what DataStorage does with the cores that it and PostgreSQL
// have. The clients' cores may be others.
func (b *bench) measureSizing(ctx context.Context) error {
	for _, l := range sizings {
		if err := b.measureSizes(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

func (b *bench) measureSizes(ctx context.Context, l load) (err error) {
	url, err := b.newDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.dropDatabase(ctx, url)) }()
	s, err := startServer(ctx, url, b.profiles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := moveToCores(ctx, b.clientCores); err != nil {
		return err
	}
	m, err := newMeter(ctx, url, s)
	if err != nil {
		return err
	}
	defer m.close(ctx)
	p := newPoster(s.url, l.clients, l.events)
	defer p.close()
	senders := p.senders(l.clients, l.events)
	if _, err := senders[0](ctx); err != nil {
		return err
	}
	before, err := readUse(ctx, m.conn)
	if err != nil {
		return err
	}
	var spent cost
	begin := time.Now()
	rate, err := m.measure(ctx, &spent, b.trialOf(ctx, senders))()
	if err != nil {
		return err
	}
	took := time.Since(begin).Seconds()
	after, err := readUse(ctx, m.conn)
	if err != nil {
		return err
	}
	peak, err := s.peakMiB()
	if err != nil {
		return err
	}
	b.report.Figuref("%s: %.0f events/s, %.1f ms a request; %.0f bytes of log an event; server %.0f MiB, %d connections", l.name,
		rate, 1000*float64(l.clients*l.events)/rate, (after.log-before.log)/(rate*took), peak, after.connections)
	b.report.Figuref("%s: %s", l.name, &spent)
	return nil
}

// use is what DataStorage has of PostgreSQL.
type use struct {
	log         float64
	connections int
}

func readUse(ctx context.Context, conn *pgx.Conn) (u use, err error) {
	const query = `SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8,
		(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())`
	if err := conn.QueryRow(ctx, query).Scan(&u.log, &u.connections); err != nil {
		return u, fmt.Errorf("read what PostgreSQL has written: %w", err)
	}
	return u, nil
}

// moveToCores moves this process, and not those that it started, to a list of cores, as taskset writes it.
func moveToCores(ctx context.Context, cores string) error {
	if cores == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, "taskset", "--all-tasks", "--cpu-list", "--pid", cores, strconv.Itoa(os.Getpid())).CombinedOutput() //nolint:gosec // of the command line
	if err != nil {
		return fmt.Errorf("move the clients to cores %s: %w: %s", cores, err, out)
	}
	return nil
}

// measureStandby prints the same with a synchronous standby on the same machine.
func (b *bench) measureStandby(ctx context.Context) (err error) {
	const name, setting = "bench", "synchronous_standby_names"
	standby, err := b.database.Standby(ctx, name)
	if err != nil {
		return fmt.Errorf("start a standby: %w", err)
	}
	defer func() { err = errors.Join(err, standby.Stop(context.WithoutCancel(ctx))) }()
	if err := b.database.Set(ctx, setting, name); err != nil {
		return fmt.Errorf("wait for the standby: %w", err)
	}
	defer func() { err = errors.Join(err, b.database.Set(context.WithoutCancel(ctx), setting, "")) }()
	return b.measureSizing(ctx)
}
