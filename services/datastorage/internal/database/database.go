// Package database is the way to PostgreSQL: separate pools of connections for
// ingest, queries and probes, transactions that carry their own limits and
// durability, and a watch that knows whether the database takes writes.
package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kubernaut.ai/internal/cli"
)

const (
	// connectTimeout bounds one attempt to connect to one host, if the URL does not.
	connectTimeout = 3 * time.Second
	pingTimeout    = 2 * time.Second
	// Example describes a URL.
	Example = "as in postgres://datastorage@127.0.0.1:5432/audit"
	// execModeParameter of a URL selects how pgx runs statements.
	execModeParameter = "default_query_exec_mode"
	// roleParameter selects which of several servers is good enough.
	roleParameter = "target_session_attrs"
)

// Parse makes the configuration of a pool without going to the network. The URL
// is in the form that libpq takes, postgres://user@host/database or key=value.
// Errors are cli.UsageErrors that never show the URL, which may hold a password.
func Parse(url string) (*pgxpool.Config, error) {
	if url == "" {
		return nil, cli.Usagef("--database-url is required: %s", Example)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The cause may quote the URL, password and all.
		return nil, cli.Usagef("--database-url is not a usable PostgreSQL URL or key=value list, %s", Example)
	}
	c := config.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "datastorage"
	}
	if c.ValidateConnect == nil && len(hosts(c)) > 1 && !strings.Contains(url, roleParameter) {
		// Of several hosts only the primary takes events.
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	c.DialFunc = dialer().DialContext
	config.PingTimeout = pingTimeout
	newPooler(!strings.Contains(url, execModeParameter)).attach(config)
	return config, nil
}

// hosts are the different servers that a configuration names, as host:port.
func hosts(c *pgx.ConnConfig) []string {
	address := func(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
	all := []string{address(c.Host, c.Port)}
	known := map[string]bool{all[0]: true}
	for _, f := range c.Fallbacks { // the same host again for a connection without TLS
		if a := address(f.Host, f.Port); !known[a] {
			known[a] = true
			all = append(all, a)
		}
	}
	return all
}

// refusedError is an error of the server in words for the operator.
type refusedError struct {
	cause *pgconn.PgError
	text  string
}

func (e *refusedError) Error() string { return e.text }

func (e *refusedError) Unwrap() error { return e.cause }

// Explain adds to a connection's error where it was going, in one line; it never
// shows the password.
func Explain(config *pgx.ConnConfig, err error) error {
	if _, ok := errors.AsType[*cli.UsageError](err); ok {
		return err
	}
	where := fmt.Sprintf("database %q on %s as user %q", config.Database, strings.Join(hosts(config), ","), config.User)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code != codeLocked {
		text := fmt.Sprintf("%s: refused: %s (SQLSTATE %s)", where, refused.Message, refused.Code)
		if !Away(refused) {
			text += ": check --database-url, and that the database and the user exist"
		}
		return &refusedError{cause: refused, text: text}
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok || Away(err) {
		return fmt.Errorf("%s: unreachable: %w: check --database-url, and that PostgreSQL runs and listens there", where, cause(err))
	}
	return fmt.Errorf("%s: %w", where, err)
}

// cause is the innermost reason of a lost or failed connection, in one line.
func cause(err error) error {
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return errNoPrimary
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = connect.Unwrap()
	}
	return &oneLineError{err}
}

// errNoPrimary: each host that answers is a standby, or read-only otherwise.
var errNoPrimary = errors.New("no server that takes writes")

// oneLineError is an error whose text has no line breaks.
type oneLineError struct{ error }

func (e *oneLineError) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

func (e *oneLineError) Unwrap() error { return e.error }
