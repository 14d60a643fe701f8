package testenv

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/lifecycle"
	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

// The connections of a DataStorage in a suite. All of them share the server, which
// may have PostgreSQL's default limit of 100.
const (
	poolSize     = 30
	idlePoolSize = 5
)

// DataStorage is a running DataStorage.
type DataStorage struct {
	// URL of the API.
	URL string
	// ManagementURL of probes, metrics and flush.
	ManagementURL string

	service  *lifecycle.Running // nil if another process runs it
	database *Database          // likewise
}

// Database is a database for one suite.
type Database struct {
	// URL of a superuser, for what a suite does to the database.
	URL string

	name   string
	server *postgres.Server
}

// NewDatabase makes a database with DataStorage's schema, for a suite that
// breaks it. The caller drops it.
func (e *Env) NewDatabase(ctx context.Context) (*Database, error) {
	return newDatabase(ctx, e.PostgreSQL, e.template)
}

// NewEmptyDatabase makes a database without a schema. The caller drops it.
func (e *Env) NewEmptyDatabase(ctx context.Context) (*Database, error) {
	return newDatabase(ctx, e.PostgreSQL, "")
}

func newDatabase(ctx context.Context, server *postgres.Server, template string) (*Database, error) {
	d := &Database{name: databasePrefix + random(), server: server}
	var err error
	if d.URL, err = server.CreateDatabase(ctx, d.name, template); err != nil {
		return nil, fmt.Errorf("make database: %w", err)
	}
	return d, nil
}

// Drop removes the database and closes the connections to it.
func (d *Database) Drop(ctx context.Context) error {
	if err := d.server.DropDatabase(ctx, d.name); err != nil {
		return fmt.Errorf("remove database: %w", err)
	}
	return nil
}

// NewDataStorage starts a DataStorage with a new database in this process; change
// may change its options. The caller stops it.
func (e *Env) NewDataStorage(ctx context.Context, change func(*datastorage.Options)) (*DataStorage, error) {
	return startDataStorage(ctx, e.PostgreSQL, e.template, e.log, change)
}

func startDataStorage(ctx context.Context, server *postgres.Server, template string, log *zap.Logger,
	change func(*datastorage.Options),
) (*DataStorage, error) {
	database, err := newDatabase(ctx, server, template)
	if err != nil {
		return nil, err
	}
	d := &DataStorage{database: database}
	if err := d.start(ctx, log, change); err != nil {
		return nil, errors.Join(err, database.Drop(context.WithoutCancel(ctx)))
	}
	return d, nil
}

// DatabaseURL is the URL of the database for a superuser, or empty for the shared
// DataStorage. The service connects as another role.
func (d *DataStorage) DatabaseURL() string {
	if d.database == nil {
		return ""
	}
	return d.database.URL
}

// Stop stops a DataStorage that this process started, and drops its database.
func (d *DataStorage) Stop(ctx context.Context) error {
	if d.service == nil {
		return nil
	}
	return errors.Join(d.service.Stop(), d.database.Drop(ctx))
}

func (d *DataStorage) start(ctx context.Context, log *zap.Logger, change func(*datastorage.Options)) error {
	serving, err := auditdb.Serving(d.database.URL)
	if err != nil {
		return fmt.Errorf("start DataStorage: %w", err)
	}
	options := datastorage.Options{
		DatabaseURL: serving, Listen: anyPort, ManagementListen: anyPort, Log: log.Named("datastorage"),
		MaxConnections: poolSize, IdleConnections: idlePoolSize,
	}
	if change != nil {
		change(&options)
	}
	a, err := datastorage.New(options)
	if err != nil {
		return fmt.Errorf("start DataStorage: %w", err)
	}
	if d.service, err = lifecycle.Start(ctx, "DataStorage", a); err != nil {
		return err
	}
	d.URL, d.ManagementURL = a.APIURL(), a.ManagementURL()
	return nil
}
