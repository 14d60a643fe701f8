// Package auditdb makes DataStorage's databases on a server of the devstack, with
// the roles that a deployment has: what serves in a suite may append events and
// not change them. The suites' own statements are those of the server's first user.
package auditdb

import (
	"context"
	"fmt"
	"time"

	"kubernaut.ai/internal/devstack/postgres"
	datastorage "kubernaut.ai/services/datastorage/app"
)

// Roles are the roles of a server of the devstack.
func Roles() datastorage.Roles {
	return datastorage.Roles{Owner: postgres.OwnerRole, Serving: postgres.ServingRole}
}

// Create makes a database with DataStorage's schema, for the time around now, and
// returns its connection string for the server's first user.
func Create(ctx context.Context, server *postgres.Server, name string) (string, error) {
	url, err := server.CreateDatabase(ctx, name, "")
	if err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	if _, err := Migrate(ctx, url, time.Now()); err != nil {
		return "", err
	}
	return url, nil
}

// Migrate migrates a database and applies the roles, as a member of the owner.
func Migrate(ctx context.Context, databaseURL string, now time.Time) (datastorage.Migrated, error) {
	url, err := Maintaining(databaseURL)
	if err != nil {
		return datastorage.Migrated{}, err
	}
	return datastorage.Migrate(ctx, url, Roles(), now)
}

// Serving is the connection string for `datastorage serve`.
func Serving(databaseURL string) (string, error) {
	return postgres.As(databaseURL, postgres.ServingRole)
}

// Maintaining is the connection string for `datastorage migrate` and `maintain`.
func Maintaining(databaseURL string) (string, error) {
	return postgres.As(databaseURL, postgres.MigrationRole)
}
