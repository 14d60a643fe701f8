//go:build integration

package maintain

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// newDatabase has the schema and no events.
func newDatabase(t *testing.T) *pgxpool.Pool {
	t.Helper()
	server, err := postgres.StartPrivate(t.Context(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) }) // a folder may stay
	url, err := server.CreateDatabase(t.Context(), "trail", "")
	if err != nil {
		t.Fatal(err)
	}
	db, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if _, err := schema.Up(t.Context(), db.Config().ConnConfig); err != nil {
		t.Fatal(err)
	}
	return db
}

// Regression test: the server may execute a renewal that its client has given up after the lease was released. The next runs were busy
// then, until the lease ended by itself.
func TestALateRenewalDoesNotTakeAReleasedLease(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	r := New(db, Options{Holder: "one", Clock: clock.RealClock{}})
	taken, err := r.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if held, err := r.renew(t.Context(), taken); !held || err != nil {
		t.Errorf("a lease that is held is not renewed: %v", err)
	}
	r.release(t.Context(), taken)
	if held, err := r.renew(t.Context(), taken); held || err != nil {
		t.Errorf("a lease that was released is renewed: %v, %v", held, err)
	}
	if _, err := r.take(t.Context()); err != nil {
		t.Errorf("the next run, after a renewal that came late: %v", err)
	}
	var left time.Duration
	if err := db.QueryRow(t.Context(), `SELECT expires_at - now() FROM audit_leases WHERE name = $1`, leaseName).Scan(&left); err != nil || left <= 0 {
		t.Errorf("the lease of the next run ends in %s: %v", left, err)
	}
}

// Regression test: what a killed run had closed used to stay so until a whole run, and erasures between two runs failed.
func TestARunOfErasuresOpensWhatAKilledRunClosed(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	r := New(db, Options{Holder: "one", Slice: 10, Clock: clock.RealClock{}})
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	month := schema.MonthName(time.Now().UTC())
	for _, statement := range []string{
		`ALTER TABLE audit_events_default ADD CONSTRAINT audit_events_default_room_moves CHECK (false) NOT VALID`,
		`ALTER TABLE ` + month + ` ADD CONSTRAINT audit_events_default_room_retention CHECK (false) NOT VALID`,
		`CREATE TABLE ` + month + `_kept (LIKE audit_events)`,
		`INSERT INTO audit_requests (request_id, kind, request, requested_by)
			VALUES (gen_random_uuid(), 'erasure', jsonb_build_object('reason', 'why', 'event_ids', jsonb_build_array(gen_random_uuid())), 'zoe')`,
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%.60s: %v", statement, err)
		}
	}
	if done, _, err := r.Erase(t.Context()); err != nil || len(done.Erasures) != 1 {
		t.Fatalf("erasures %+v: %v", done.Erasures, err)
	}
	var closed, staged int
	if err := db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_constraint WHERE conname LIKE '%room_%'), (SELECT count(*) FROM pg_class WHERE relname LIKE '%_kept')`).
		Scan(&closed, &staged); err != nil || closed+staged > 0 {
		t.Errorf("%d partitions are closed, %d tables are left: %v", closed, staged, err)
	}
}
