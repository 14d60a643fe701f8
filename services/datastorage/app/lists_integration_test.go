//go:build integration

package app_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	api "kubernaut.ai/api/datastorage"
)

func TestListsGoOnBehindAPage(t *testing.T) {
	f := newTrail(t)
	for _, at := range []string{"infinity", "infinity", "2026-03-04", "2026-03-04", "2026-03-04", "-infinity", "0100-01-01 BC"} {
		if _, err := f.serving.Exec(t.Context(), `WITH held AS (INSERT INTO audit_holds (hold_id, correlation_id, reason, placed_by, placed_at) VALUES ($1, 'c', 'r', 'n', $2::text::timestamptz))
			INSERT INTO audit_requests (request_id, kind, request, requested_by, requested_at) VALUES ($1, 'erasure', '{}', 'n', $2::text::timestamptz)`, uuid.New(), at); err != nil {
			t.Fatal(err)
		}
	}
	whole := call[api.LegalHoldList](t, f.App, http.MethodGet, holdsPath, nil, http.StatusOK)
	var holds, erasures []uuid.UUID
	for cursor := ""; ; {
		page := call[api.LegalHoldList](t, f.App, http.MethodGet, holdsPath+"?limit=2"+cursor, nil, http.StatusOK)
		for _, h := range page.LegalHolds {
			holds = append(holds, h.HoldId)
		}
		if cursor = "&cursor=" + page.NextCursor; !page.HasMore {
			break
		}
	}
	for cursor := ""; ; {
		page := call[api.ErasureList](t, f.App, http.MethodGet, erasuresPath+"?limit=2"+cursor, nil, http.StatusOK)
		for _, e := range page.Erasures {
			erasures = append(erasures, e.ErasureId)
		}
		if cursor = "&cursor=" + page.NextCursor; !page.HasMore {
			break
		}
	}
	if len(whole.LegalHolds) != 7 || len(holds) != 7 || len(erasures) != 7 {
		t.Fatalf("%d holds at once, %d in pages, and %d erasures in pages", len(whole.LegalHolds), len(holds), len(erasures))
	}
	for i, h := range whole.LegalHolds {
		if holds[i] != h.HoldId || erasures[i] != h.HoldId {
			t.Errorf("place %d: hold %s and erasure %s, want %s", i, holds[i], erasures[i], h.HoldId)
		}
	}
}
