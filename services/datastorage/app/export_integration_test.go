//go:build integration

package app_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/app"
)

// complete is for lists that lack nothing.
func complete(t *testing.T) func(uuid.UUID, error) {
	t.Helper()
	return func(id uuid.UUID, why error) { t.Errorf("erasure %s is left out: %v", id, why) }
}

// Regression test: one malformed row used to fail the export of all erasures.
func TestTheListOfErasuresLacksMalformedRowsOnlyAndSaysSo(t *testing.T) {
	f := newTrail(t)
	e := personal()
	f.store(t, e)
	asked := f.erasing(t, e)
	f.maintained(t)
	f.ended(t, asked.ErasureId, api.Erased)
	// Maintenance carries out a request whatever its times and its caller are.
	odd := uuid.New()
	const insert = `INSERT INTO audit_requests (request_id, kind, request, requested_by, requested_at, finished_at, result)
		VALUES ($1, 'erasure', $2::text::jsonb, $3, $4::text::timestamptz, $5::text::timestamptz, '{"status": "erased"}')`
	add := func(id uuid.UUID, request, by, requested string, finished *string) {
		t.Helper()
		if _, err := f.serving.Exec(t.Context(), insert, id, request, by, requested, finished); err != nil {
			t.Fatal(err)
		}
	}
	one := `{"event_ids": ["` + e.EventId.String() + `"], "reason": "r"}`
	then := new("2019-01-02")
	add(odd, one, strings.Repeat("n", 1000), "-infinity", new("infinity"))
	malformed := []string{
		`"x"`, `[]`, `{}`, `{"event_ids": 7, "reason": "r"}`, `{"event_ids": ["x"], "reason": "r"}`, strings.Replace(one, `"r"`, `7`, 1),
		`{"event_ids": [], "reason": "` + strings.Repeat("r", 1<<20) + `"}`,
	}
	bad := make([]uuid.UUID, 0, len(malformed)+1)
	for _, request := range malformed {
		bad = append(bad, uuid.New())
		add(bad[len(bad)-1], request, "nobody", "2019-01-01", then)
	}
	bad = append(bad, uuid.New())
	add(bad[len(bad)-1], one, "nobody", "2019-01-01", nil)

	var list bytes.Buffer
	var left []uuid.UUID
	n, err := app.ExportErasures(t.Context(), f.owner, &list, func(id uuid.UUID, _ error) { left = append(left, id) })
	if incomplete, ok := errors.AsType[*app.IncompleteListError](err); !ok || incomplete.LeftOut != len(bad) || n != 2 {
		t.Errorf("exported %d erasures with error %v, want 2, and that %d are left out", n, err, len(bad))
	}
	byText := func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(bad, byText)
	slices.SortFunc(left, byText)
	if !slices.Equal(left, bad) {
		t.Errorf("left out are %v, want %v", left, bad)
	}
	for _, id := range []uuid.UUID{asked.ErasureId, odd} {
		if !strings.Contains(list.String(), id.String()) {
			t.Errorf("the list lacks erasure %s: %s", id, &list)
		}
	}
	restored := newDatabase(t)
	owner, _ := withRoles(t, restored)
	if added, err := app.ImportErasures(t.Context(), owner, &list); err != nil || added != n {
		t.Errorf("imported %d erasures with error %v, want %d", added, err, n)
	}
}
