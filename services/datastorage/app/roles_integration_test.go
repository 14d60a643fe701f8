//go:build integration

package app_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/services/datastorage/schematest"
)

const rolesScript = "psql -qf deploy/kustomize/components/postgres/server/roles.sql"

var rolePasswords = []string{"MIGRATION_PASSWORD=one", "SERVING_PASSWORD=two"}

// The role that made the tables is that of the deployment before the roles.
func TestTheScriptOfTheRolesTakesOverADatabaseThatIsInUse(t *testing.T) {
	running := startBackedUp(t)
	t.Cleanup(func() { _ = running.Stop(context.WithoutCancel(t.Context())) })
	running.shell(t, "postgres", `psql -qc "CREATE ROLE former LOGIN PASSWORD 'three'" -c "CREATE DATABASE trail OWNER former"`)
	load(t, running.As("trail", "former", "three"))
	former := connect(t, running.As("trail", "former", "three"))
	for range 2 {
		running.shell(t, "trail", rolesScript, rolePasswords...)
		migrate(t, running.As("trail", postgres.MigrationRole, "one"), deployedRoles())
	}

	if _, err := insertAsVersion1(t.Context(), former, time.Now()); err != nil {
		t.Errorf("the role of the older program cannot append: %v", err)
	}
	execute(t, former, `SELECT version_id FROM schema_version`)
	for _, statement := range []string{`UPDATE audit_events SET severity = 'low'`, `DELETE FROM audit_events`, `DROP TABLE audit_events`} {
		var refused *pgconn.PgError
		if _, err := former.Exec(t.Context(), statement); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s by the role of the older program: %v, want insufficient privilege", statement, err)
		}
	}
	post(t, serve(t, running.As("trail", postgres.ServingRole, "two")), uuid.Must(uuid.NewV7()))
	// The older program when its rollout is undone: it looks at its version and the default partition, and starts.
	undone := connect(t, running.As("trail", postgres.ServingRole, "two"))
	execute(t, undone, `SELECT version_id FROM schema_version`)
	execute(t, undone, `SELECT FROM audit_events_default WHERE id_time >= now() LIMIT 1`)
	if _, err := insertAsVersion1(t.Context(), undone, time.Now()); err != nil {
		t.Errorf("the serving role cannot append as the older program does: %v", err)
	}
	maintain(t, running.As("trail", postgres.MigrationRole, "one"), 40)
	admin := connect(t, postgres.AtSockets(running.Server, "trail", running.SocketDir()))
	wantComplete(t, admin, schematest.Version1Events+3)
	var owners []string
	if err := admin.QueryRow(t.Context(), `SELECT array_agg(DISTINCT relowner::regrole::text) FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relname ~ '^(audit|schema)_'`).Scan(&owners); err != nil || !slices.Equal(owners, []string{postgres.OwnerRole}) {
		t.Errorf("owners %v: %v", owners, err)
	}
}
