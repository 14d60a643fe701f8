package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// cost is what a side of a comparison used: computing time, which a busy machine changes less than rates,
// and what the database did.
type cost struct {
	clients, server, database time.Duration
	events                    float64
	transactions, syncs       int64
}

// String names the time an event costs, and how many events shared a transaction and a sync of the log.
func (c *cost) String() string {
	an := func(d time.Duration) float64 { return float64(d.Microseconds()) / c.events }
	return fmt.Sprintf("an event costs %.1f µs: clients %.1f, server %.1f, PostgreSQL %.1f; %.1f events a transaction, %.1f a sync",
		an(c.clients+c.server+c.database), an(c.clients), an(c.server), an(c.database),
		c.events/float64(max(c.transactions, 1)), c.events/float64(max(c.syncs, 1)))
}

func (c *cost) add(before, after cost) {
	c.clients += after.clients - before.clients
	c.server += after.server - before.server
	c.database += after.database - before.database
	c.transactions += after.transactions - before.transactions
	c.syncs += after.syncs - before.syncs
}

// meter reads costs since the start of the processes.
type meter struct {
	server *server
	conn   *pgx.Conn
	// postmaster is the first process of PostgreSQL.
	postmaster string
}

// newMeter needs a PostgreSQL on this machine.
func newMeter(ctx context.Context, url string, s *server) (*meter, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	fields, err := statOf(strconv.FormatUint(uint64(conn.PgConn().PID()), 10))
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	const parent = 1
	return &meter{server: s, conn: conn, postmaster: fields[parent]}, nil
}

func (m *meter) close(ctx context.Context) { _ = m.conn.Close(ctx) } // it only read

// measure runs a trial and adds what it cost.
func (m *meter) measure(ctx context.Context, c *cost, trial func() (float64, error)) func() (float64, error) {
	return func() (float64, error) {
		before, err := m.read(ctx)
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		rate, err := trial()
		if err != nil {
			return 0, err
		}
		c.events += rate * time.Since(begin).Seconds()
		after, err := m.read(ctx)
		c.add(before, after)
		return rate, err
	}
}

func (m *meter) read(ctx context.Context) (c cost, err error) {
	// The views wait for what the backends report; each process's own counters are exact.
	const query = `SELECT (SELECT wal_sync FROM pg_stat_wal), (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())`
	if err := m.conn.QueryRow(ctx, query).Scan(&c.syncs, &c.transactions); err != nil {
		return c, fmt.Errorf("read what PostgreSQL did: %w", err)
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return c, fmt.Errorf("read the time of the clients: %w", err)
	}
	c.clients = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	if c.server, err = timeOf(strconv.Itoa(m.server.process.Process.Pid), false); err != nil {
		return c, err
	}
	c.database, err = m.databaseTime()
	return c, err
}

// databaseTime is that of the postmaster, and of its children now and before.
func (m *meter) databaseTime() (time.Duration, error) {
	sum, err := timeOf(m.postmaster, true)
	if err != nil {
		return 0, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, process := range processes {
		fields, err := statOf(filepath.Base(process))
		const parent = 1
		if err != nil || fields[parent] != m.postmaster {
			continue // another's, or it ended
		}
		spent, err := ticks(fields, false)
		if err != nil {
			return 0, err
		}
		sum += spent
	}
	return sum, nil
}

// statOf are the fields of /proc/PID/stat (proc(5)) behind the name, which may have spaces: the state is the first.
func statOf(pid string) ([]string, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return nil, fmt.Errorf("read the time of a process: %w", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const least = 15
	if len(fields) < least {
		return nil, fmt.Errorf("read the time of process %s: an unknown form", pid)
	}
	return fields, nil
}

// timeOf is what a process has computed, and its children that have ended.
func timeOf(pid string, children bool) (time.Duration, error) {
	fields, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	return ticks(fields, children)
}

func ticks(fields []string, children bool) (time.Duration, error) {
	const utime, own, all, tick = 11, 2, 4, 10 * time.Millisecond
	end := utime + own
	if children {
		end = utime + all
	}
	sum := 0
	for _, field := range fields[utime:end] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("read the time of a process: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}
