package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/pkg/audit/wire"
)

// columns are those of the table of events, as the schema has them.
type columns struct {
	names []string
	// types by column, as in "timestamp with time zone".
	types []string
	// row is one that DataStorage stored.
	row []any
}

const table = "audit_events"

// readColumns reads the columns and one row.
func readColumns(ctx context.Context, conn *pgx.Conn) (*columns, error) {
	c := &columns{}
	found, err := conn.Query(ctx, `SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
		WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`, table)
	if err != nil {
		return nil, fmt.Errorf("read the columns: %w", err)
	}
	var name, kind string
	_, err = pgx.ForEachRow(found, []any{&name, &kind}, func() error {
		c.names, c.types = append(c.names, name), append(c.types, kind)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the columns: %w", err)
	}
	selected := make([]string, len(c.names))
	for i, name := range c.names {
		selected[i] = pgx.Identifier{name}.Sanitize()
		if c.types[i] == "jsonb" {
			selected[i] += "::text"
		}
	}
	found, err = conn.Query(ctx, `SELECT `+strings.Join(selected, ", ")+` FROM `+table+` LIMIT 1`)
	if err != nil {
		return nil, fmt.Errorf("read a row: %w", err)
	}
	defer found.Close()
	if !found.Next() {
		return nil, errors.Join(errors.New("read a row: there is none"), found.Err())
	}
	if c.row, err = found.Values(); err != nil {
		return nil, fmt.Errorf("read a row: %w", err)
	}
	return c, nil
}

// rows are rows for PostgreSQL that are made before they are measured, all but their ids.
type rows struct {
	*columns

	values                 [][]any
	id, idTime, correlated int
}

func (c *columns) rows(events int) (*rows, error) {
	r := &rows{
		columns: c, values: make([][]any, events),
		id: slices.Index(c.names, "event_id"), idTime: slices.Index(c.names, "id_time"), correlated: slices.Index(c.names, "correlation_id"),
	}
	if r.id < 0 || r.idTime < 0 || r.correlated < 0 {
		return nil, errors.New("make rows: the table has no event_id, id_time or correlation_id")
	}
	for n := range r.values {
		row := slices.Clone(c.row)
		for i, value := range row {
			// Commitments, salts and digests differ from event to event.
			if bytes, ok := value.([]byte); ok {
				row[i] = slices.Clone(bytes)
				_, _ = rand.Read(row[i].([]byte)) //nolint:forcetypeassert // two lines above
			}
		}
		r.values[n] = row
	}
	return r, nil
}

func (r *rows) renew() {
	now := time.Now().Truncate(time.Millisecond)
	var trail string
	for n, row := range r.values {
		id := wire.NewID(now, mathrand.Uint64()) //nolint:gosec // ids need no secrecy here
		if n%eventsPerTrail == 0 {
			trail = "rr-" + id.String()
		}
		row[r.id], row[r.idTime], row[r.correlated] = [16]byte(id), now, trail
	}
}

// baseline is bare PostgreSQL: connections that write rows into the table that DataStorage writes to.
type baseline struct {
	connections []*pgx.Conn
	turns       []turn
}

// newBaseline connects as often as there are clients. Batches are copied, and single rows inserted by a prepared statement that commits by itself.
func newBaseline(ctx context.Context, url string, clients, events int) (*baseline, error) {
	b := &baseline{}
	for range clients {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return b, fmt.Errorf("connect: %w", err)
		}
		b.connections = append(b.connections, conn)
		if _, err := conn.Exec(ctx, `SET synchronous_commit = on`); err != nil {
			return b, fmt.Errorf("connect: %w", err)
		}
		c, err := readColumns(ctx, conn)
		if err != nil {
			return b, err
		}
		rows, err := c.rows(events)
		if err != nil {
			return b, err
		}
		write := rows.copying(conn)
		if events == 1 {
			write, err = rows.inserting(ctx, conn)
		}
		if err != nil {
			return b, err
		}
		b.turns = append(b.turns, write)
	}
	return b, nil
}

func (b *baseline) close(ctx context.Context) {
	for _, conn := range b.connections {
		_ = conn.Close(ctx) // there is nothing left to write
	}
}

func (r *rows) copying(conn *pgx.Conn) turn {
	return func(ctx context.Context) (int, error) {
		r.renew()
		n, err := conn.CopyFrom(ctx, pgx.Identifier{table}, r.names, pgx.CopyFromRows(r.values))
		if err != nil {
			return 0, fmt.Errorf("copy: %w", err)
		}
		return int(n), nil
	}
}

func (r *rows) inserting(ctx context.Context, conn *pgx.Conn) (turn, error) {
	const name = "insert"
	if _, err := conn.Prepare(ctx, name, r.insert(1)); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	return func(ctx context.Context) (int, error) {
		r.renew()
		if _, err := conn.Exec(ctx, name, r.values[0]...); err != nil {
			return 0, fmt.Errorf("insert: %w", err)
		}
		return 1, nil
	}, nil
}
