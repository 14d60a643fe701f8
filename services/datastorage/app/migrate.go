package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// Migration is one step that Migrate took.
type Migration struct {
	Name string
	Took time.Duration
}

// Migrated says what Migrate did.
type Migrated struct {
	// Migrations that were applied, none when the schema was current.
	Migrations []Migration
	// Indexes that were built, of tables that had events already.
	Indexes []string
	// Partitions that were made for the time around now.
	Partitions []string
}

// Roles are the database roles that Migrate applies. Without names, everything
// stays with the role that migrates.
type Roles = schema.Roles

// Migrate brings a database's schema to this program's version and makes the
// partitions that the time around now needs. It may run anywhere any number of
// times, also at once. Events are stored and found meanwhile, by programs of the
// version before, too.
func Migrate(ctx context.Context, databaseURL string, roles Roles, now time.Time) (Migrated, error) {
	config, err := database.Parse(databaseURL)
	if err != nil {
		return Migrated{}, err //nolint:wrapcheck // names the flag
	}
	var done Migrated
	err = withConnection(ctx, config, func(conn *pgx.Conn) error {
		status, err := schema.Read(ctx, conn)
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		if err := status.Err(); status.Current > status.Wanted && err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		applied, err := schema.Up(ctx, conn.Config())
		for _, a := range applied {
			done.Migrations = append(done.Migrations, Migration{Name: a.Name, Took: a.Duration})
		}
		if err != nil {
			return fmt.Errorf("apply migrations: %w", err)
		}
		if err := roles.Apply(ctx, conn); err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		report, err := schema.NewPartitions(conn).Ensure(ctx, now)
		done.Partitions = report.Made
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		if done.Indexes, err = schema.NewIndexes(conn).Ensure(ctx); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		return nil
	})
	return done, err
}

// MigrateFlags are the flags of a command that migrates.
type MigrateFlags struct {
	DatabaseURL string
	Roles       Roles
	// StartupTimeout bounds the wait for the database.
	StartupTimeout time.Duration
}

// AddTo registers the flags, with serve's defaults.
func (f *MigrateFlags) AddTo(flags *pflag.FlagSet) {
	var declared cli.Flags
	declareDatabase(&declared, &f.DatabaseURL)
	declared.String(&f.Roles.Owner, "owner-role", "", "role that owns the tables and cannot log in; the role that migrates is a member of it; none: the role that migrates owns them")
	declared.String(&f.Roles.Serving, "serving-role", "", "role that datastorage serve logs in as: it may append events, and not change them; none: rights stay as they are")
	declared.Duration(&f.StartupTimeout, "startup-timeout", startupTimeout, "how long to wait for the database at start")
	declared.AddTo(flags)
}

// AwaitDatabase returns when a database answers. It waits no longer than timeout
// for one that does not answer yet, and reports why; a wrong password or a
// database that does not exist are errors at once. Call it before Migrate if the
// database may start at the same time.
func AwaitDatabase(ctx context.Context, databaseURL string, timeout time.Duration, report func(reason error)) error {
	config, err := database.Parse(databaseURL)
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	wait := lifecycle.Wait{Timeout: timeout, Transient: database.Transient, Report: report}
	err = wait.Until(ctx, func(ctx context.Context) error {
		return withConnection(ctx, config, func(*pgx.Conn) error { return nil })
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// SchemaStatus compares a database's schema with this program.
type SchemaStatus struct {
	// Current is the database's version, 0 without a schema; Wanted is this program's.
	Current, Wanted int64
	// Err is nil when they are the same, else it says what to do.
	Err error
}

// ReadSchemaStatus changes nothing.
func ReadSchemaStatus(ctx context.Context, databaseURL string) (SchemaStatus, error) {
	config, err := database.Parse(databaseURL)
	if err != nil {
		return SchemaStatus{}, err //nolint:wrapcheck // names the flag
	}
	var status schema.Status
	err = withConnection(ctx, config, func(conn *pgx.Conn) error {
		var err error
		if status, err = schema.Read(ctx, conn); err != nil {
			return fmt.Errorf("schema status: %w", err)
		}
		return nil
	})
	if err != nil {
		return SchemaStatus{}, err
	}
	return SchemaStatus{Current: status.Current, Wanted: status.Wanted, Err: status.Err()}, nil
}

// closeTimeout bounds the goodbye to the database.
const closeTimeout = 2 * time.Second

func withConnection(ctx context.Context, config *pgxpool.Config, use func(*pgx.Conn) error) error {
	conn, err := database.Connect(ctx, config)
	if err != nil {
		return database.Explain(config.ConnConfig, err) //nolint:wrapcheck // says where and what to do
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		// The work is done: an error while closing changes nothing of it.
		_ = conn.Close(ctx)
	}()
	return use(conn)
}
