package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// mostBytes is the bar of bytes in the database for each byte of NDJSON.
const mostBytes = 1.35

// measureSize stores events of last month and compares what the database needs for them, with TOAST
// and all indexes, with their lines.
func (b *bench) measureSize(ctx context.Context) (err error) {
	url, err := b.newDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.dropDatabase(ctx, url)) }()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	before, err := tableBytes(ctx, conn)
	if err != nil {
		return err
	}
	lines, err := b.storeLastMonth(ctx, url)
	if err != nil {
		return err
	}
	after, err := tableBytes(ctx, conn)
	if err != nil {
		return err
	}
	b.report.Figuref("%.0f bytes of NDJSON an event, %.0f in the database", lines/float64(b.sized), (after-before)/float64(b.sized))
	if err := b.measureBeside(ctx, conn); err != nil {
		return err
	}
	b.report.AtMost("bytes-per-event-vs-ndjson", (after-before)/lines, mostBytes)
	return nil
}

// measureBeside prints what an event needs beside its row, and how much of its row are the salts.
func (b *bench) measureBeside(ctx context.Context, conn *pgx.Conn) error {
	for _, statement := range []string{
		`CREATE TABLE with_salts (LIKE audit_events INCLUDING ALL)`, `INSERT INTO with_salts SELECT * FROM audit_events`, `VACUUM FULL with_salts`,
		`CREATE TABLE without_salts (LIKE audit_events INCLUDING ALL)`, `INSERT INTO without_salts SELECT * FROM audit_events`,
		`UPDATE without_salts SET salts = NULL`, `VACUUM FULL without_salts`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("copy the events: %w", err)
		}
	}
	var batches, with, without, row, bare float64
	const query = `SELECT pg_total_relation_size('audit_batches')::float8, pg_total_relation_size('with_salts')::float8, pg_total_relation_size('without_salts')::float8,
		(SELECT avg(pg_column_size(w))::float8 FROM with_salts AS w), (SELECT avg(pg_column_size(w))::float8 FROM without_salts AS w)`
	if err := conn.QueryRow(ctx, query).Scan(&batches, &with, &without, &row, &bare); err != nil {
		return fmt.Errorf("measure the salts: %w", err)
	}
	events := float64(b.sized)
	b.report.Figuref("%.0f bytes of batches an event; a row has %.0f bytes with salts, %.0f without; a copy of the table %.0f and %.0f an event",
		batches/events, row, bare, with/events, without/events)
	return nil
}

// storeLastMonth stores events with ids of last month, and returns the size of their lines.
func (b *bench) storeLastMonth(ctx context.Context, url string) (lines float64, err error) {
	s, err := startServer(ctx, url, "")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	const events = 1000
	p := newPoster(s.url, 1, events)
	defer p.close()
	now := time.Now().UTC()
	at := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, -1, 0)
	own := newBatch(events)
	for stored := 0; stored < b.sized; stored += events {
		at = at.Add(time.Second)
		own.renew(at)
		if err := p.post(ctx, own.body); err != nil {
			return 0, err
		}
		lines += float64(len(own.body))
	}
	return lines, nil
}

func tableBytes(ctx context.Context, conn *pgx.Conn) (bytes float64, err error) {
	const query = `SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::float8 FROM pg_partition_tree($1::text::regclass) WHERE isleaf`
	if err := conn.QueryRow(ctx, query, table).Scan(&bytes); err != nil {
		return 0, fmt.Errorf("measure the table: %w", err)
	}
	return bytes, nil
}

// dropDatabase returns the space of a database.
func (b *bench) dropDatabase(ctx context.Context, database string) error {
	parsed, err := url.Parse(database)
	if err != nil {
		return fmt.Errorf("drop a database: %w", err)
	}
	if err := b.database.DropDatabase(context.WithoutCancel(ctx), strings.TrimPrefix(parsed.Path, "/")); err != nil {
		return fmt.Errorf("drop a database: %w", err)
	}
	return nil
}
