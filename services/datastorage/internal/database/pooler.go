package database

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// errPooler rejects a connection that was opened before the pooler was known.
var errPooler = errors.New("a connection pooler was found: connecting again without named prepared statements")

// pooler recognizes a connection pooler (PgBouncer and others) between this
// process and PostgreSQL. A pooler hands out cancel keys of its own, so the
// process id in them is not that of the server process that answers.
//
// Behind a pooler that shares connections between transactions, a named prepared
// statement of one client is missing, or another one's, on the next connection.
// Statements are then described once, and parsed at each use without a name.
type pooler struct {
	// detect is false if the URL says how to run statements.
	detect bool
	found  atomic.Bool
}

func newPooler(detect bool) *pooler { return &pooler{detect: detect} }

// attach makes a pool's connections recognize the pooler.
func (p *pooler) attach(c *pgxpool.Config) {
	c.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		if p.detect && p.found.Load() {
			config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		}
		return nil
	}
	c.AfterConnect = p.examine
}

func (p *pooler) examine(ctx context.Context, conn *pgx.Conn) error {
	registerTypes(conn)
	var pid uint32
	var waits string
	const query = `SELECT pg_backend_pid()` + askWaits
	if err := conn.QueryRow(ctx, query, pgx.QueryExecModeSimpleProtocol).Scan(&pid, &waits); err != nil {
		return fmt.Errorf("ask for the server's process: %w", err)
	}
	expectWaits(conn, waits)
	if pid == conn.PgConn().PID() {
		conn.PgConn().CustomData()[directKey] = true
		return nil
	}
	p.found.Store(true)
	if p.detect && conn.Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		return errPooler
	}
	return nil
}

// registerTypes names the types of arguments that pgx cannot name itself. It needs
// them where the URL says that statements run without asking the server for the
// types of their parameters (simple_protocol, exec). JSON is an argument of type string
// there: pgx takes a []byte for a bytea.
func registerTypes(conn *pgx.Conn) {
	conn.TypeMap().RegisterDefaultPgType(uuid.UUID{}, "uuid")
	conn.TypeMap().RegisterDefaultPgType([]uuid.UUID{}, "_uuid")
}

// directKey of a connection's custom data tells that there is no pooler.
const directKey = "kubernaut.ai/direct"

// isDirect reports whether a connection's session is its own.
func isDirect(conn *pgx.Conn) bool {
	direct, _ := conn.PgConn().CustomData()[directKey].(bool)
	return direct
}

// Connect opens one connection with the configuration of Parse, as the pools do.
func Connect(ctx context.Context, config *pgxpool.Config) (*pgx.Conn, error) {
	for {
		c := config.ConnConfig.Copy()
		if err := config.BeforeConnect(ctx, c); err != nil {
			return nil, err //nolint:wrapcheck // of this package
		}
		conn, err := pgx.ConnectConfig(ctx, c)
		if err != nil {
			return nil, err //nolint:wrapcheck // Explain says where and what to do
		}
		if err = config.AfterConnect(ctx, conn); err == nil {
			return conn, nil
		}
		_ = conn.Close(ctx) // there is an error already
		if !errors.Is(err, errPooler) {
			return nil, err //nolint:wrapcheck // of this package
		}
	}
}
