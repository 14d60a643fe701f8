package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/internal/commitment"
	"kubernaut.ai/internal/sha256lanes"
	"kubernaut.ai/pkg/audit/wire"
)

// minimumVariable holds the number of clients in the process of the minimal server.
const minimumVariable = "KUBERNAUT_BENCH_MINIMUM"

// serveMinimum is the process of a server that does as little as single events need: it passes over an event once, makes
// the canonical form of its data and the hashes of its row, waits until the requests of all clients are there, stores as
// many rows that were made before and the batch's own, in one round trip of prepared statements, and answers with the
// position of the log. What checks callers, fields and limits, and tells replays from conflicts, comes on top.
func serveMinimum(ctx context.Context, database string) error {
	clients, err := strconv.Atoi(os.Getenv(minimumVariable))
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
	const unused = 1 << 40 // by the server whose database this is
	m := &minimum{batch: unused, clients: clients, rows: r, conn: conn, prepared: map[int]string{}, waiting: make(chan chan answer, clients)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go m.run(ctx)
	return serveUntilEOF(ctx, m)
}

// minimum answers requests in groups.
type minimum struct {
	clients int
	rows    *rows
	conn    *pgx.Conn
	// prepared are the statements by the number of rows.
	prepared map[int]string
	// batch is the id of the last one.
	batch int64
	// waiting are where the requests that are not stored yet get their answers.
	waiting chan chan answer
}

// answer is the position of the log, or why nothing was stored.
type answer struct {
	position string
	err      error
}

func (m *minimum) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	position, err := m.serve(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	// As long as the answer of DataStorage.
	_, _ = io.WriteString(w, `{"consistency_token":"`+position+`","event_id":"`+place+`","event_timestamp":"`+someTime+`","message":"stored"}`)
}

// serve returns the position of the log once the event is stored.
func (m *minimum) serve(event io.Reader) (position string, err error) {
	body, err := io.ReadAll(event)
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	if err := decode(body); err != nil {
		return "", err
	}
	answered := make(chan answer, 1)
	m.waiting <- answered
	a := <-answered
	return a.position, a.err
}

// lanes are reused for their buffers.
var lanes = sync.Pool{New: func() any { return new(sha256lanes.Batch) }}

// decode does what the row of an event needs, and leaves the result.
func decode(body []byte) error {
	var sent wire.Data
	texts := map[string]string{}
	if err := wire.MembersWithData(body, wire.FieldData, &sent, func(name, value []byte) error {
		if string(name) != wire.FieldData {
			texts[string(name)] = string(value)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if err := sent.Check("gateway.signal.received", wire.MaxDataBytes); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	data := sent.AppendCanonical(make([]byte, 0, sent.CanonicalSize()))
	var salts commitment.Salts
	if _, err := rand.Read(salts[:]); err != nil {
		return fmt.Errorf("make salts: %w", err)
	}
	now := time.Now()
	envelope := commitment.Envelope{
		Version: texts["version"], Type: texts["event_type"], Category: texts["event_category"], Action: texts["event_action"],
		Outcome: texts["event_outcome"], Timestamp: now, ReceivedAt: now, SortTime: now, CorrelationID: texts["correlation_id"],
		Severity: texts["severity"], ProducerID: texts["producer_id"],
	}
	subject := commitment.Subject{
		ActorType: texts["actor_type"], ActorID: texts["actor_id"], ResourceType: texts["resource_type"], ResourceID: texts["resource_id"],
		Namespace: texts["namespace"], ClusterID: texts["cluster_id"],
	}
	b := lanes.Get().(*sha256lanes.Batch) //nolint:forcetypeassert // the pool holds nothing else
	defer lanes.Put(b)
	b.Reset()
	b.B = append(b.B, body...) // about as long as what the digest of the content covers
	b.End()
	const salt = commitment.SaltBytes
	b.B = commitment.AppendEnvelope(b.B, &envelope, salts[:salt])
	b.End()
	b.B = commitment.AppendSubject(b.B, &subject, salts[salt:2*salt])
	b.End()
	b.B = commitment.AppendData(b.B, data, salts[2*salt:])
	b.End()
	sums := b.Hash()
	commitment.Parts{Envelope: commitment.Sum(sums[1]), Subject: commitment.Sum(sums[2]), Data: commitment.Sum(sums[3])}.Commitment()
	return nil
}

func (m *minimum) run(ctx context.Context) {
	// A client that ends its work is not waited for.
	const patience = 2 * time.Millisecond
	for {
		var group []chan answer
		select {
		case first := <-m.waiting:
			group = append(group, first)
		case <-ctx.Done():
			return
		}
		enough := time.NewTimer(patience)
		for waits := true; waits && len(group) < m.clients; {
			select {
			case next := <-m.waiting:
				group = append(group, next)
			case <-enough.C:
				waits = false
			}
		}
		enough.Stop()
		position, err := m.store(ctx, len(group))
		for _, answered := range group {
			answered <- answer{position, err}
		}
	}
}

// store inserts this number of rows and that of their batch, and returns the position of the log.
func (m *minimum) store(ctx context.Context, n int) (position string, err error) {
	name, err := m.prepare(ctx, n)
	if err != nil {
		return "", err
	}
	m.rows.renew()
	values := make([]any, 0, n*len(m.rows.names))
	for _, row := range m.rows.values[:n] {
		values = append(values, row...)
	}
	m.batch++
	var b pgx.Batch
	b.Queue("BEGIN")
	b.Queue("SET LOCAL synchronous_commit = on")
	b.Queue(name, values...)
	b.Queue("INSERT INTO audit_batches (batch_id, received_at, events, commitments) VALUES ($1, $2, $3, $4)",
		m.batch, time.Now(), n, make([]byte, n*len(commitment.Sum{})))
	b.Queue("COMMIT")
	b.Queue("SELECT pg_current_wal_flush_lsn()::text").QueryRow(func(row pgx.Row) error { return row.Scan(&position) })
	if err := m.conn.SendBatch(ctx, &b).Close(); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	return position, nil
}

// prepare returns the name of the statement for this number of rows.
func (m *minimum) prepare(ctx context.Context, n int) (string, error) {
	if name, found := m.prepared[n]; found {
		return name, nil
	}
	name := "insert-" + strconv.Itoa(n)
	if _, err := m.conn.Prepare(ctx, name, m.rows.insert(n)); err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	m.prepared[n] = name
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
