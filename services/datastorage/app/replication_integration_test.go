//go:build integration

package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/internal/devstack/postgres"
)

// Regression test: the serving role does not see what a replication connection is for. A backup used to be called an
// asynchronous standby.
func TestABackupIsNotAStandby(t *testing.T) {
	primary, err := postgres.StartPrivate(t.Context(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, primary)
	database, err := primary.CreateDatabase(t.Context(), "trail", "")
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, database, deployedRoles())
	admin := connect(t, database)
	for name, revoke := range map[string]bool{"nightly": false, "pg_basebackup": true} {
		if revoke {
			execute(t, admin, `REVOKE pg_read_all_stats FROM `+postgres.ServingRole)
		}
		stop := holdBackup(t, primary, admin, name)
		a := serve(t, as(t, database, postgres.ServingRole))
		if shown := metricsOf(t, a.ManagementURL()); !strings.Contains(shown, "\ndatastorage_database_up 1\n") || !strings.Contains(shown, "\ndatastorage_database_replicates_asynchronously 0\n") {
			t.Errorf("a backup as %s, without the right %v, is taken for a standby", name, revoke)
		}
		stop()
		execute(t, admin, `GRANT pg_read_all_stats TO `+postgres.ServingRole)
	}
	standby, err := primary.Standby(t.Context(), "follower")
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, standby)
	awaitReplication(t, admin, `state = 'streaming'`, 1)
	a := serve(t, as(t, database, postgres.ServingRole))
	if shown := metricsOf(t, a.ManagementURL()); !strings.Contains(shown, "\ndatastorage_database_replicates_asynchronously 1\n") {
		t.Error("a standby is not seen")
	}
}

// holdBackup begins a backup that takes long, with its copy of the log, until stop.
func holdBackup(t *testing.T, primary *postgres.Server, admin *pgx.Conn, name string) (stop func()) {
	t.Helper()
	backup := primary.BaseBackup(t.Context(), filepath.Join(t.TempDir(), "copy"), name, "--max-rate=32k", "--checkpoint=fast", "--no-sync", "--wal-method=stream")
	backup.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := backup.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		_ = syscall.Kill(-backup.Process.Pid, syscall.SIGKILL) // also the process that copies the log
		_ = backup.Wait()                                      // it was killed
	})
	t.Cleanup(kill)
	stop = func() {
		kill()
		awaitReplication(t, admin, `true`, 0)
	}
	awaitReplication(t, admin, fmt.Sprintf(`application_name = '%s' AND state IN ('backup', 'streaming')`, name), 2)
	return stop
}

// awaitReplication waits until that many replication connections fit.
func awaitReplication(t *testing.T, admin *pgx.Conn, fitting string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for n := -1; n != want; {
		if err := admin.QueryRow(ctx, `SELECT count(*) FROM pg_stat_replication WHERE `+fitting).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
}

func metricsOf(t *testing.T, management string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, management+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", response.Status, err)
	}
	return string(text)
}

func stopAtEnd(t *testing.T, s *postgres.Server) {
	t.Helper()
	t.Cleanup(func() { _ = s.Stop(context.WithoutCancel(t.Context())) }) // a folder may stay
}
