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

// Regression test: the server may execute a renewal that its client has given up after the lease was released. The next runs were busy
// then, until the lease ended by itself.
func TestALateRenewalDoesNotTakeAReleasedLease(t *testing.T) {
	t.Parallel()
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
