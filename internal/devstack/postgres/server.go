package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// duplicateDatabase is the SQLSTATE of CREATE DATABASE with a name that is taken.
const duplicateDatabase = "42P04"

// Server is a running PostgreSQL server. Its methods are safe for concurrent use.
type Server struct {
	url    string
	origin string
	stop   func(context.Context) error // nil where the server is not ours

	cluster *cluster // nil unless it is a private one
}

// Join returns a server that is already running, for instance one that another
// process of a test suite started. Its Stop does nothing.
func Join(connection string) *Server {
	return &Server{url: connection, origin: "a server that is already running"}
}

// URL is the connection string of the server's first database, with the
// password; its user may create databases.
func (s *Server) URL() string { return s.url }

// Origin is a short description of where the server comes from.
func (s *Server) Origin() string { return s.origin }

// Stop ends a server that was started here, after its clients' connections are
// cut (a fast shutdown), and removes its data if it is temporary.
func (s *Server) Stop(ctx context.Context) error {
	if s.stop == nil {
		return nil
	}
	return s.stop(ctx)
}

// CreateDatabase makes a database in which OwnerRole alone may create tables, as a
// copy of template where that is not empty, and returns its connection string for
// the server's first user; As makes one for a role. Nobody may be connected to a
// template while it is copied. An existing database keeps its content.
func (s *Server) CreateDatabase(ctx context.Context, name, template string) (string, error) {
	target, err := withDatabase(s.url, name)
	if err != nil {
		return "", err
	}
	if err := s.makeRoles(ctx); err != nil {
		return "", err
	}
	if err := s.create(ctx, name, template); err != nil {
		return "", err
	}
	if err := giveToOwner(ctx, target); err != nil {
		return "", fmt.Errorf("give database %s to its owner: %w", name, err)
	}
	return target, nil
}

// DropDatabase removes a database and cuts the connections to it.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	err := s.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	if err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// create makes a database if it does not exist.
func (s *Server) create(ctx context.Context, name, template string) error {
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if template != "" {
		statement += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	}
	err := s.exec(ctx, statement)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == duplicateDatabase {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

func (s *Server) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err = conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("execute: %w", err)
	}
	return nil
}

// withDatabase returns a connection string with another database.
func withDatabase(connection, name string) (string, error) {
	if !strings.HasPrefix(connection, "postgres://") && !strings.HasPrefix(connection, "postgresql://") {
		// keyword=value form: the last one of a keyword counts
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name)
		return connection + " dbname='" + quoted + "'", nil
	}
	u, err := url.Parse(connection)
	if err != nil {
		return "", fmt.Errorf("read connection string: %w", errors.Unwrap(err)) // without the password
	}
	u.Path = "/" + name
	return u.String(), nil
}

// fromURL uses a server that is run elsewhere.
func fromURL(ctx context.Context, opts Options) (*Server, error) {
	if opts.DatabaseURL == "" {
		return nil, unavailable("not set")
	}
	s := &Server{url: opts.DatabaseURL, origin: "DATABASE_URL"}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var version, connections string
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version_num'), current_setting('max_connections')").
		Scan(&version, &connections)
	if err != nil {
		return nil, fmt.Errorf("ask for version: %w", err)
	}
	const perMajor = 10_000
	if n, err := strconv.Atoi(version); err != nil || n/perMajor < MinVersion {
		return nil, fmt.Errorf("server version %s: %d or later is needed", version, MinVersion)
	}
	if n, err := strconv.Atoi(connections); err == nil && n < opts.MaxConnections {
		opts.Progress.Sayf("PostgreSQL at DATABASE_URL has max_connections = %d; %d or more are recommended", n, opts.MaxConnections)
	}
	return s, nil
}
