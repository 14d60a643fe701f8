// Package database opens the pool of connections to PostgreSQL, and explains why
// it cannot.
package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
)

const (
	// connectTimeout bounds one attempt to connect where the URL says nothing.
	connectTimeout = 5 * time.Second
	pingTimeout    = 2 * time.Second
	// Example describes a URL.
	Example = "as in postgres://datastorage@127.0.0.1:5432/audit"
)

// The bounds of a pool's size.
const (
	MinConnections = 2
	MaxConnections = 10_000
)

// Parse makes the configuration of a pool without going to the network. The URL
// is in the form that libpq takes, postgres://user@host/database or key=value.
// Errors are cli.UsageErrors that never show the URL, which may hold a password.
func Parse(url string, connections int) (*pgxpool.Config, error) {
	config, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(min(connections, MaxConnections)) //nolint:gosec // bounded
	config.PingTimeout = pingTimeout
	config.AfterConnect = raiseDurability
	return config, nil
}

// ParseURL checks a database URL without going to the network; errors are as of Parse.
func ParseURL(url string) (*pgxpool.Config, error) {
	if url == "" {
		return nil, cli.Usagef("--database-url is required: %s", Example)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The cause may quote the URL, password and all.
		return nil, cli.Usagef("--database-url is not a usable PostgreSQL URL or key=value list, %s", Example)
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "datastorage"
	}
	return config, nil
}

// raiseDurability makes a commit wait until it is on disk, where the server's
// configuration promises less; it leaves one that promises more alone.
func raiseDurability(ctx context.Context, conn *pgx.Conn) error {
	const statement = `SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')`
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("set synchronous_commit: %w", err)
	}
	return nil
}

// Open makes the pool, waits until the database answers, and checks that the
// server allows as many connections. At most idle of them stay open unused.
func Open(ctx context.Context, config *pgxpool.Config, idle int, wait lifecycle.Wait) (*pgxpool.Pool, error) {
	limit := &idleLimit{most: int32(min(idle, MaxConnections))} //nolint:gosec // bounded
	config = config.Copy()
	config.AfterRelease = limit.keep
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database pool: %w", err)
	}
	limit.pool.Store(pool)
	wait.Transient = Transient
	err = wait.Until(ctx, func(ctx context.Context) error {
		if err := check(ctx, pool); err != nil {
			return Explain(config.ConnConfig, err)
		}
		return nil
	})
	if err != nil {
		pool.Close()
		return nil, err //nolint:wrapcheck // says where and what to do
	}
	return pool, nil
}

func check(ctx context.Context, pool *pgxpool.Pool) error {
	var most, reserved int32
	const query = `SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int`
	if err := pool.QueryRow(ctx, query).Scan(&most, &reserved); err != nil {
		return fmt.Errorf("read max_connections: %w", err)
	}
	if available := most - reserved; pool.Config().MaxConns > available {
		return cli.Usagef(
			"--database-max-connections %d is more than the server allows (max_connections %d, of which %d are reserved): lower it to %d or less, or raise the server's max_connections",
			pool.Config().MaxConns, most, reserved, available)
	}
	return nil
}

// refusedError is an error of the server in words for the operator.
type refusedError struct {
	cause *pgconn.PgError
	text  string
}

func (e *refusedError) Error() string { return e.text }

func (e *refusedError) Unwrap() error { return e.cause }

// Explain adds to a connection's error where it was going; it never shows the password.
func Explain(config *pgx.ConnConfig, err error) error {
	if _, ok := errors.AsType[*cli.UsageError](err); ok {
		return err
	}
	address := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	where := fmt.Sprintf("database %q on %s as user %q", config.Database, address, config.User)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &refusedError{
			cause: refused,
			text:  fmt.Sprintf("%s: refused: %s (SQLSTATE %s): check --database-url, and that the database and the user exist", where, refused.Message, refused.Code),
		}
	}
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return fmt.Errorf("%s: unreachable: %w: check --database-url, and that PostgreSQL runs and listens there", where, cause(connect))
	}
	return fmt.Errorf("%s: %w", where, err)
}

// cause is the innermost reason of a failed connection, in one line.
func cause(connect *pgconn.ConnectError) error {
	if op, ok := errors.AsType[*net.OpError](connect); ok {
		return op.Err
	}
	if errors.Is(connect, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return connect.Unwrap() //nolint:wrapcheck // the caller says what it was about
}
