package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// groupingVariable holds the number of clients in the process of a server that only groups.
const groupingVariable = "KUBERNAUT_BENCH_GROUPING"

// serveGrouping is the process of a server that does as little as group commit over HTTP needs: it reads requests without
// looking at them, waits until those of all clients are there, stores as many rows that were made before, by one prepared
// INSERT that commits by itself, and answers without a body. Whatever decodes, checks and numbers events comes on top.
func serveGrouping(ctx context.Context, database string) error {
	clients, err := strconv.Atoi(os.Getenv(groupingVariable))
	if err != nil {
		return fmt.Errorf("read the number of clients: %w", err)
	}
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // there is nothing left to write
	c, err := readColumns(ctx, conn)
	if err != nil {
		return err
	}
	r, err := c.rows(clients)
	if err != nil {
		return err
	}
	g := &grouping{clients: clients, rows: r, conn: conn, prepared: map[int]string{}, waiting: make(chan chan error, clients)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go g.run(ctx)
	return serveUntilEOF(ctx, g)
}

// grouping answers requests in groups.
type grouping struct {
	clients int
	rows    *rows
	conn    *pgx.Conn
	// prepared are the statements by the number of rows.
	prepared map[int]string
	// waiting are the requests that are not stored yet.
	waiting chan chan error
}

func (g *grouping) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the client notices a failure
	stored := make(chan error, 1)
	g.waiting <- stored
	if err := <-stored; err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (g *grouping) run(ctx context.Context) {
	// A client that ends its work is not waited for.
	const patience = 2 * time.Millisecond
	for {
		var group []chan error
		select {
		case first := <-g.waiting:
			group = append(group, first)
		case <-ctx.Done():
			return
		}
		enough := time.NewTimer(patience)
		for waits := true; waits && len(group) < g.clients; {
			select {
			case next := <-g.waiting:
				group = append(group, next)
			case <-enough.C:
				waits = false
			}
		}
		enough.Stop()
		err := g.store(ctx, len(group))
		for _, stored := range group {
			stored <- err
		}
	}
}

// store inserts this number of rows.
func (g *grouping) store(ctx context.Context, n int) error {
	name, err := g.prepare(ctx, n)
	if err != nil {
		return err
	}
	g.rows.renew()
	values := make([]any, 0, n*len(g.rows.names))
	for _, row := range g.rows.values[:n] {
		values = append(values, row...)
	}
	if _, err := g.conn.Exec(ctx, name, values...); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	return nil
}

// prepare returns the name of the statement for this number of rows.
func (g *grouping) prepare(ctx context.Context, n int) (string, error) {
	if name, found := g.prepared[n]; found {
		return name, nil
	}
	name := "insert-" + strconv.Itoa(n)
	if _, err := g.conn.Prepare(ctx, name, g.rows.insert(n)); err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	g.prepared[n] = name
	return name, nil
}

// insert is the statement for this number of rows.
func (c *columns) insert(n int) string {
	var statement strings.Builder
	statement.WriteString(`INSERT INTO ` + table + ` (` + strings.Join(c.names, ", ") + `) VALUES `)
	for place := range n * len(c.names) {
		switch {
		case place == 0:
			statement.WriteString("(")
		case place%len(c.names) == 0:
			statement.WriteString("), (")
		default:
			statement.WriteString(", ")
		}
		statement.WriteString("$" + strconv.Itoa(place+1))
	}
	return statement.String() + ")"
}
