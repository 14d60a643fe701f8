//go:build integration

package app_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/datastorage/app"
)

// holdOn writes the row of a hold on a filter as an administrator may.
func (f *trail) holdOn(t *testing.T, filter string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	if _, err := f.serving.Exec(t.Context(), `INSERT INTO audit_holds (hold_id, filter, reason, placed_by) VALUES ($1, $2::text::jsonb, 'case 4', 'nobody')`, id, filter); err != nil {
		t.Fatal(err)
	}
	return id
}

func (f *trail) release(t *testing.T, id uuid.UUID) {
	t.Helper()
	call[api.LegalHoldList](t, f.App, http.MethodDelete, holdsPath+"/"+id.String()+"?reason=settled", nil, http.StatusOK)
}

// Regression test: a row that is no hold failed each run of maintenance before other work was done, and the lists of holds.
func TestAMalformedHoldKeepsAllEventsUntilItIsReleased(t *testing.T) {
	f := newTrail(t)
	e := personal()
	f.store(t, e)
	for _, filter := range []string{
		`"x"`, `null`, `7`, `["actor_id"]`, `{}`, `{"actor_id": 7}`, `{"detail_key": "price", "detail_value": null}`, `{"actor": "alice"}`,
		`{"event_outcome": "maybe"}`, `{"actor_id": "alice", "until": "24h"}`, `{"since": "2026-01-02", "until": "2026-01-01"}`,
		`{"actor_id": "` + strings.Repeat("a", 1<<21) + `"}`,
	} {
		id := f.holdOn(t, filter)
		name := filter[:min(len(filter), 50)]
		done, err := f.maintain(t, later, nil)
		if err == nil || !strings.Contains(err.Error(), id.String()) || !strings.Contains(err.Error(), "kubernaut hold release") {
			t.Errorf("%s: the run ends with %v, want an error that names the hold and what to do", name, err)
		}
		if len(done.Removed) > 0 {
			t.Errorf("%s: removed %+v under a hold that nobody understands", name, done.Removed)
		}
		refused := call[api.Problem](t, f.App, http.MethodPost, erasuresPath, api.ErasureRequest{Reason: "r", EventIds: []uuid.UUID{*e.EventId}}, http.StatusConflict)
		if reason := refused.FieldErrors[e.EventId.String()]; !strings.Contains(reason, id.String()) {
			t.Errorf("%s: the erasure is refused with %q, want the hold", name, reason)
		}
		list := call[api.LegalHoldList](t, f.App, http.MethodGet, holdsPath, nil, http.StatusOK)
		if len(list.LegalHolds) != 1 || list.LegalHolds[0].HoldId != id || !list.LegalHolds[0].Unusable {
			t.Errorf("%s: the list is %+v, want the unusable hold", name, list)
		}
		f.release(t, id)
	}
	asked := f.erasing(t, e)
	if done, err := f.maintain(t, later, nil); err != nil || len(done.Removed) != 1 || done.Removed[0].Removed != expiring+2 {
		t.Errorf("after the release: removed %+v, error %v", done.Removed, err)
	}
	f.ended(t, asked.ErasureId, api.Erased)
}

func TestARunDoesItsOtherWorkBesideAMalformedHold(t *testing.T) {
	f := newTrail(t)
	e := personal()
	f.store(t, e)
	asked := f.erasing(t, e)
	id := f.holdOn(t, `{"actor": "alice"}`)
	f.holdOn(t, `[]`)
	done, err := f.maintain(t, 0, nil)
	if err == nil || !strings.Contains(err.Error(), "1 more") {
		t.Errorf("the run ends with %v, want both holds", err)
	}
	if done.Counted == 0 || len(done.Indexes) == 0 || !done.Analyzed {
		t.Errorf("the run did %+v, want counts, indexes and statistics", done)
	}
	if held := f.ended(t, asked.ErasureId, api.Refused).Held; len(held) != 1 {
		t.Errorf("the erasure is refused for %v, want a hold", held)
	}
	var out bytes.Buffer
	c := app.Command()
	c.SetOut(&out)
	c.SetErr(&out)
	if code := cli.Execute(t.Context(), c, []string{"maintain", "--dry-run", "--database-url", f.owner}, &out); code != cli.ExitFailed {
		t.Errorf("a dry run exits with %d", code)
	}
	if text := out.String(); !strings.Contains(text, "erasures to carry out: 0") || !strings.Contains(text, "audit_holds") {
		t.Errorf("a dry run prints %s", text)
	}
	if one := call[api.LegalHoldList](t, f.App, http.MethodGet, holdsPath+"/"+id.String(), nil, http.StatusOK).LegalHolds; one[0].Filter["actor"] != "alice" {
		t.Errorf("got %+v, want the filter that the hold was placed with", one)
	}
}

// Regression test: a run did not notice that the filter of a hold was corrected in the database.
func TestAHoldThatIsCorrectedInItsRowHoldsFromThenOn(t *testing.T) {
	f := newTrail(t)
	id := f.holdOn(t, `{"actor": "alice"}`)
	if _, err := f.maintain(t, later, nil); err == nil {
		t.Error("the run says nothing about the malformed hold")
	}
	if _, err := f.serving.Exec(t.Context(), `UPDATE audit_holds SET filter = '{"actor_id": "alice"}' WHERE hold_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if _, err := f.maintain(t, later+time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	f.wantEvents(t, f.long, f.heldByActor)
}

// What the row has beside the filter does not decide which events it holds.
func TestAHoldWithOddTimesAndTextsIsAHold(t *testing.T) {
	f := newTrail(t)
	for _, at := range []string{"-infinity", "infinity", "4000-01-01 BC", "20000-01-01"} {
		if _, err := f.serving.Exec(t.Context(), `INSERT INTO audit_holds (hold_id, correlation_id, reason, placed_by, placed_at) VALUES ($1, $2, $3, $3, $4::text::timestamptz)`,
			uuid.New(), f.heldByID.CorrelationId, strings.Repeat("r", 1<<20), at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.serving.Exec(t.Context(), `INSERT INTO audit_holds (hold_id, correlation_id, reason, placed_by, released_at, released_by, release_reason)
		VALUES ($1, $2, '', '', 'infinity', $3, $3), ($4, $3, '', '', NULL, NULL, NULL)`, uuid.New(), f.heldByActor.CorrelationId, strings.Repeat("r", 5000), uuid.New()); err != nil {
		t.Fatal(err)
	}
	if list := call[api.LegalHoldList](t, f.App, http.MethodGet, holdsPath+"?released=true", nil, http.StatusOK); len(list.LegalHolds) != 6 {
		t.Errorf("%d holds are listed, want all", len(list.LegalHolds))
	}
	if _, err := f.maintain(t, later, nil); err != nil {
		t.Fatal(err)
	}
	f.wantEvents(t, f.long, f.heldByID)
}
