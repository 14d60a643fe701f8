//go:build integration

package app_test

import (
	"testing"
	"time"

	"kubernaut.ai/services/datastorage/app"
)

func TestASliceBoundsTheEventsThatAreCompletedTogether(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	const events, slice = 210, 40
	for range events {
		if _, err := insertAsVersion1(t.Context(), conn, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	done := maintain(t, database, slice)
	var largest int64
	if err := conn.QueryRow(t.Context(), `SELECT max(events) FROM audit_batches`).Scan(&largest); err != nil {
		t.Fatal(err)
	}
	if done.Completed != events || largest > slice {
		t.Errorf("%d events were completed, up to %d of them in one transaction, want %d and at most %d", done.Completed, largest, events, slice)
	}
	wantComplete(t, conn, events)
}
