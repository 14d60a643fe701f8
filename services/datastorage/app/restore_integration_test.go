//go:build integration

package app_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
	"kubernaut.ai/services/datastorage/app"
)

const repository = "../../.."

// commands are those of a section of docs/operating.md.
func commands(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repository, "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n### "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n#")
	_, block, fenced := strings.Cut(section, "\n```sh\n")
	block, _, ended := strings.Cut(block, "\n```\n")
	if !found || !fenced || !ended {
		t.Fatalf("docs/operating.md has no commands below %q", heading)
	}
	return block
}

// backedUp is a server whose log is archived.
type backedUp struct {
	*postgres.Server

	dir string
}

func startBackedUp(t *testing.T) *backedUp {
	t.Helper()
	dir := t.TempDir()
	wal := filepath.Join(dir, "wal")
	// The server has another user where the tests run as root.
	for _, one := range []func() error{
		func() error { return os.Chmod(filepath.Dir(dir), 0o755) }, func() error { return os.Mkdir(wal, 0o700) }, func() error { return os.Chmod(wal, 0o777) },
	} {
		if err := one(); err != nil {
			t.Fatal(err)
		}
	}
	running, err := postgres.StartPrivate(t.Context(), postgres.Options{Settings: map[string]string{
		"archive_mode": "on", "archive_command": "test ! -f " + wal + "/%f && cp %p " + wal + "/%f",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return &backedUp{running, dir}
}

func (b *backedUp) shell(t *testing.T, database, script string, env ...string) {
	t.Helper()
	if output, err := b.Shell(t.Context(), database, repository, script, append(env, "BACKUP="+b.dir, "DAY=2026-11-27")...); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// serveAt serves at an address until the test calls stop.
func serveAt(t *testing.T, database, listen string) (a *app.App, stop func()) {
	t.Helper()
	a, err := app.New(app.Options{DatabaseURL: database, Listen: listen, ManagementListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	running, err := lifecycle.Start(t.Context(), "DataStorage", a)
	if err != nil {
		t.Fatal(err)
	}
	return a, func() {
		t.Helper()
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func record(t *testing.T, store *audit.Store, events int) {
	t.Helper()
	for range events {
		if err := store.Record(t.Context(), &audit.Event{
			Type: "shop.order.paid", Category: "shop", Action: "pay", Outcome: audit.OutcomeSuccess, CorrelationID: uuid.NewString(), Data: []byte(`{"price": 1.50}`),
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// The commands are those of docs/operating.md.
func TestAServerIsRestoredFromItsBackupAndArchive(t *testing.T) {
	lost := startBackedUp(t)
	database, err := lost.CreateDatabase(t.Context(), "trail", "")
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, as(t, database, postgres.MigrationRole), deployedRoles())
	a, stop := serveAt(t, as(t, database, postgres.ServingRole), "127.0.0.1:0")
	sink, err := httpsink.New(a.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	disk, err := spool.Open(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := audit.New(sink, audit.WithSpool(disk), audit.WithDurability(audit.Spooled))
	if err != nil {
		t.Fatal(err)
	}
	const before, archived, pending = 30, 40, 50
	record(t, store, before)
	if _, err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost.shell(t, "trail", commands(t, "Base backup"))
	record(t, store, archived)
	if _, err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := anEvent(30, "bob")
	old := call[api.BatchCreated](t, a, http.MethodPost, "/api/v1/audit/events/batch", []api.AuditEvent{last}, http.StatusCreated)

	// The server is lost. Producers go on.
	stop()
	if err := lost.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	record(t, store, pending)
	restored, err := lost.Restored(t.Context(), func(dataDir string) error {
		lost.shell(t, "", commands(t, "Restore"), "PGDATA="+dataDir)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = restored.Stop(context.WithoutCancel(t.Context())) })
	database = postgres.AtSockets(restored, "trail", restored.SocketDir())
	migrate(t, as(t, database, postgres.MigrationRole), deployedRoles())
	address, err := url.Parse(a.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	a, stop = serveAt(t, as(t, database, postgres.ServingRole), address.Host)
	defer stop()
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	maintain(t, as(t, database, postgres.MigrationRole), 40)
	conn := connect(t, database)
	wantComplete(t, conn, before+archived+pending+1)
	// A token of the time before does not vouch for what the restored server has.
	behind := call[api.Problem](t, a, http.MethodGet, "/api/v1/audit/events?at_least="+url.QueryEscape(old.ConsistencyToken), nil, http.StatusServiceUnavailable)
	if !strings.Contains(behind.Detail, "flush again") {
		t.Errorf("a token of the old timeline: %s", behind.Detail)
	}
	again := call[api.BatchCreated](t, a, http.MethodPost, "/api/v1/audit/events/batch", []api.AuditEvent{last}, http.StatusCreated)
	if again.Created != 0 || again.Duplicates != 1 {
		t.Errorf("an archived event is stored again: %+v", again)
	}
	call[api.EventPage](t, a, http.MethodGet, "/api/v1/audit/events?at_least="+url.QueryEscape(again.ConsistencyToken), nil, http.StatusOK)
}

func TestAMonthIsRestoredIntoADatabaseOfItsOwn(t *testing.T) {
	running := startBackedUp(t)
	t.Cleanup(func() { _ = running.Stop(context.WithoutCancel(t.Context())) })
	database, err := running.CreateDatabase(t.Context(), "trail", "")
	if err != nil {
		t.Fatal(err)
	}
	owner, serving := withRoles(t, database)
	a := serve(t, serving)
	const events = 50
	for range events {
		post(t, a, uuid.Must(uuid.NewV7()))
	}
	kept := anEvent(30, "bob") // of another month
	call[api.EventCreated](t, a, http.MethodPost, "/api/v1/audit/events", kept, http.StatusCreated)
	maintain(t, owner, 40)
	month := "MONTH=" + time.Now().UTC().Format("y2006m01")
	running.shell(t, "trail", commands(t, "Archive of a month"), month)

	running.shell(t, "postgres", "createdb archive && PGDATABASE=archive "+rolesScript, rolePasswords...)
	migrate(t, running.As("archive", postgres.MigrationRole, "one"), deployedRoles())
	running.shell(t, "archive", commands(t, "Reading an archive"), month)
	archive := serve(t, running.As("archive", postgres.ServingRole, "two"))
	found := call[api.EventPage](t, archive, http.MethodGet, "/api/v1/audit/events?limit=1000", nil, http.StatusOK)
	if len(found.Data) != events {
		t.Errorf("the archive has %d events, want %d", len(found.Data), events)
	}
	verifyCommitments(t, connect(t, postgres.AtSockets(running.Server, "archive", running.SocketDir())))
	post(t, archive, uuid.Must(uuid.NewV7()))
}
