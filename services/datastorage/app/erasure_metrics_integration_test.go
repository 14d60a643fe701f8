//go:build integration

package app_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTheServiceShowsErasuresThatNobodyCarriesOut(t *testing.T) {
	f := newTrail(t)
	first, second := personal(), personal()
	f.store(t, first, second)
	f.awaitMetrics(t, "datastorage_erasures_pending 0", "datastorage_erasures_oldest_request_timestamp_seconds 0")
	asked := f.erasing(t, first)
	f.erasing(t, second)
	since := strconv.FormatFloat(float64(asked.RequestedAt.UnixMilli())/1000, 'g', -1, 64)
	f.awaitMetrics(t, "datastorage_erasures_pending 2", "datastorage_erasures_oldest_request_timestamp_seconds "+since)

	// While the table cannot be read, nothing is known to have ended, and the rest of the watch works on.
	locked, err := f.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, f.conn, `LOCK TABLE audit_requests IN ACCESS EXCLUSIVE MODE`)
	f.awaitLook(t, true)
	f.awaitLook(t, false)
	f.awaitMetrics(t, "datastorage_erasures_pending 2", "datastorage_database_writable 1")
	if err := locked.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.maintained(t)
	f.awaitMetrics(t, "datastorage_erasures_pending 0", "datastorage_erasures_oldest_request_timestamp_seconds 0")
}

// awaitMetrics waits until the service shows all of the samples.
func (f *trail) awaitMetrics(t *testing.T, samples ...string) {
	t.Helper()
	begin := time.Now()
	for {
		shown := metricsOf(t, f.ManagementURL())
		missing := slices.DeleteFunc(slices.Clone(samples), func(s string) bool { return strings.Contains(shown, "\n"+s+"\n") })
		switch {
		case len(missing) == 0:
			return
		case time.Since(begin) > 30*time.Second:
			t.Fatalf("the service does not show %q", missing)
		}
	}
}

// awaitLook waits until the service waits for the locked table, or has given up.
func (f *trail) awaitLook(t *testing.T, want bool) {
	t.Helper()
	const waiting = `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'audit_requests'::regclass)`
	begin := time.Now()
	for waits := !want; waits != want; {
		if err := f.conn.QueryRow(t.Context(), waiting).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("the service waits for audit_requests: %v, want %v", waits, want)
		}
	}
}
