package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"kubernaut.ai/internal/devstack/consent"
	"kubernaut.ai/internal/devstack/progress"
)

const (
	// MinVersion is the oldest major version that is used.
	MinVersion = 14
	// DefaultMaxConnections is the max_connections of a server that Start starts.
	DefaultMaxConnections = 300

	defaultDatabase = "kubernaut"
	defaultUser     = "kubernaut"
)

// Options of Start. The zero value is a temporary server.
type Options struct {
	// DatabaseURL of a server to use; the environment variable DATABASE_URL if it
	// is empty. CreateDatabase needs a user who may create databases.
	DatabaseURL string
	// DataDir stores the data; if it is empty, the data is temporary. It does not
	// apply to the server that DATABASE_URL names.
	DataDir string
	// MaxConnections is the server's max_connections; zero means DefaultMaxConnections.
	MaxConnections int
	// Settings are further server settings (postgresql.conf) of a server that
	// Start starts.
	Settings map[string]string
	// Consent is asked before a package is installed; nil refuses.
	Consent consent.Func
	// Progress receives a line about each step that takes long.
	Progress progress.Func
}

// Start finds or starts a server. The caller stops it.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.DatabaseURL == "" {
		opts.DatabaseURL = os.Getenv("DATABASE_URL")
	}
	if opts.MaxConnections == 0 {
		opts.MaxConnections = DefaultMaxConnections
	}
	if opts.MaxConnections < 0 {
		return nil, fmt.Errorf("max connections %d: must be positive", opts.MaxConnections)
	}
	return choose(ctx, opts, []source{
		{"the server that DATABASE_URL names", fromURL},
		{"server binaries on this machine", fromMachine},
		{"the distribution's package", fromPackage},
		{"a downloaded server", fromDownload},
		{"a container", fromContainer},
	})
}

// source is one way to get a server. Its start returns an unavailable error if
// the machine lacks what it needs; any other error is final, because a server
// that should have worked is not silently replaced.
type source struct {
	name  string
	start func(context.Context, Options) (*Server, error)
}

// unavailable is the reason why a source cannot be used here.
type unavailable string

func (u unavailable) Error() string { return string(u) }

func unavailablef(format string, args ...any) error {
	return unavailable(fmt.Sprintf(format, args...))
}

func choose(ctx context.Context, opts Options, sources []source) (*Server, error) {
	var tried strings.Builder
	for _, s := range sources {
		server, err := s.start(ctx, opts)
		if err == nil {
			return server, nil
		}
		if _, ok := errors.AsType[unavailable](err); !ok {
			return nil, fmt.Errorf("use %s for PostgreSQL: %w", s.name, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("find a PostgreSQL server: %w", err)
		}
		fmt.Fprintf(&tried, "\n  %s: %v", s.name, err)
	}
	return nil, fmt.Errorf("no PostgreSQL server: install PostgreSQL %d or later, "+
		"or set DATABASE_URL=postgres://user:password@host/database; tried:%s", MinVersion, tried.String())
}
