//go:build integration

package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	clocktesting "k8s.io/utils/clock/testing"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/app"
)

const erasuresPath = "/api/v1/audit/erasures"

// personal is an event that says much about a person.
func personal() api.AuditEvent {
	e := anEvent(3000, "zoe@example.com")
	e.ActorType, e.ActorIp, e.ResourceType, e.ResourceId = new("user"), new("192.0.2.7"), new("account"), new("zoe-account")
	e.Namespace, e.ClusterId, e.ErrorCode, e.ErrorMessage = new("zoe-space"), new("zoe-cluster"), new("E-zoe"), new("zoe was here")
	e.EventData = []byte(`{"person": {"name": "zoe smith"}, "price": 1.5}`)
	return e
}

// erasing asks for an erasure.
func (f *trail) erasing(t *testing.T, events ...api.AuditEvent) api.Erasure {
	t.Helper()
	request := api.ErasureRequest{Reason: "request 7 of a customer"}
	for _, e := range events {
		request.EventIds = append(request.EventIds, *e.EventId)
	}
	return call[api.Erasure](t, f.App, http.MethodPost, erasuresPath, request, http.StatusAccepted)
}

func (f *trail) store(t *testing.T, events ...api.AuditEvent) {
	t.Helper()
	call[api.BatchCreated](t, f.App, http.MethodPost, eventsPath+"/batch", events, http.StatusCreated)
}

func (f *trail) ended(t *testing.T, id uuid.UUID, want api.ErasureStatus) api.Erasure {
	t.Helper()
	found := call[api.Erasure](t, f.App, http.MethodGet, erasuresPath+"/"+id.String(), nil, http.StatusOK)
	if found.Status != want {
		t.Fatalf("erasure %+v, want %s", found, want)
	}
	return found
}

// maintained runs maintenance in the present.
func (f *trail) maintained(t *testing.T) app.Maintained {
	t.Helper()
	done, err := f.maintain(t, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// wantNothingOf looks for a word in every row of the tables with events and counts.
func (f *trail) wantNothingOf(t *testing.T, word string) {
	t.Helper()
	for _, table := range []string{"audit_events", "audit_rollup", "audit_requests", "audit_erasures", "audit_maintenance"} {
		var rows int
		if err := f.conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT count(*) FROM %s AS t WHERE t::text ILIKE '%%' || $1 || '%%'`, table), word).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if rows > 0 {
			t.Errorf("%d rows of %s still say %s", rows, table, word)
		}
	}
}

func TestAnErasedEventLosesItsSubjectAndDataAndStaysVerifiable(t *testing.T) {
	f := newTrail(t)
	e := personal()
	f.store(t, e)
	f.maintained(t) // it is counted, and its partition has all indexes
	preview := call[api.ErasurePreview](t, f.App, http.MethodPost, erasuresPath+"/preview",
		api.ErasurePreviewRequest{Filter: api.EventFilter{"detail_key": "$.person.name", "detail_value": "zoe smith"}}, http.StatusOK)
	if !slices.Equal(preview.EventIds, []uuid.UUID{*e.EventId}) || len(preview.Held) > 0 {
		t.Fatalf("the preview found %+v, want %s", preview, e.EventId)
	}
	asked := f.erasing(t, e)
	if asked.Status != api.Requested {
		t.Errorf("an erasure that was asked for is %s", asked.Status)
	}
	f.maintained(t)
	if done := f.ended(t, asked.ErasureId, api.Erased); done.Erased != 1 || done.FinishedAt == nil {
		t.Errorf("got %+v, want 1 erased event", done)
	}

	found := call[map[string]any](t, f.App, http.MethodGet, eventsPath+"/"+e.EventId.String(), nil, http.StatusOK)
	for _, field := range []string{
		"event_data", "actor_type", "actor_id", "actor_ip", "resource_type", "resource_id", "namespace", "cluster_id", "error_code", "error_message",
	} {
		if value, has := found[field]; has {
			t.Errorf("the erased event has %s: %v", field, value)
		}
	}
	if found["erased_at"] == nil || found["correlation_id"] != e.CorrelationId || found["event_type"] != e.EventType {
		t.Errorf("got %v, want the envelope and erased_at", found)
	}
	for _, filter := range []string{
		"actor_id=zoe@example.com", "resource_id=zoe-account", "namespace=zoe-space", "error_code=E-zoe",
		"detail_key=$.person.name&detail_value=zoe%20smith",
	} {
		if page := call[api.EventPage](t, f.App, http.MethodGet, eventsPath+"?"+filter, nil, http.StatusOK); len(page.Data) > 0 {
			t.Errorf("%s finds an erased event", filter)
		}
	}
	f.wantNothingOf(t, "zoe")
	verifyCommitments(t, f.conn)
	wantStatistics(t, f, "zoe")

	trail := call[api.EventPage](t, f.App, http.MethodGet, eventsPath+"?order=asc&correlation_id="+asked.ErasureId.String(), nil, http.StatusOK)
	types := make([]string, 0, len(trail.Data))
	for _, e := range trail.Data {
		keepExample(t, &e)
		types = append(types, e.EventType)
	}
	if want := []string{"datastorage.erasure.requested", "datastorage.erasure.completed"}; !slices.Equal(types, want) {
		t.Errorf("the erasure's trail has %v, want %v", types, want)
	}
	list := call[api.ErasureList](t, f.App, http.MethodGet, erasuresPath, nil, http.StatusOK)
	if len(list.Erasures) != 1 || list.Erasures[0].Events != 1 || list.Erasures[0].EventIds != nil {
		t.Errorf("got the list %+v", list)
	}
	stats := call[api.EventStats](t, f.App, http.MethodGet, eventsPath+"/stats?event_type="+e.EventType, nil, http.StatusOK)
	total := int64(0)
	for _, count := range stats.Data {
		total += count.Events
	}
	if total != expiring+4 {
		t.Errorf("%d events are counted, want %d: an erased event is an event", total, expiring+4)
	}
}

// wantStatistics looks for a word in what the planner knows, as the server's first user.
func wantStatistics(t *testing.T, f *trail, word string) {
	t.Helper()
	var found int
	if err := f.conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stats WHERE concat(most_common_vals::text, histogram_bounds::text) ILIKE '%' || $1 || '%'`, word).Scan(&found); err != nil {
		t.Fatal(err)
	}
	if found > 0 {
		t.Errorf("%d columns' statistics still say %s", found, word)
	}
}

func TestAReplayOfAnErasedEventIsADuplicate(t *testing.T) {
	f := newTrail(t)
	e := personal()
	f.store(t, e)
	asked := f.erasing(t, e)
	f.maintained(t)
	f.ended(t, asked.ErasureId, api.Erased)
	if again := call[api.EventCreated](t, f.App, http.MethodPost, eventsPath, e, http.StatusCreated); again.Message != "stored before" || again.StoredAs != nil {
		t.Errorf("a replay is %+v, want a duplicate", again)
	}
	f.wantNothingOf(t, "zoe")
	other := e
	other.EventData = []byte(`{"price": 2}`)
	created := call[api.EventCreated](t, f.App, http.MethodPost, eventsPath, other, http.StatusCreated)
	if created.StoredAs == nil {
		t.Fatalf("another content under the id of an erased event is %+v, want a second id", created)
	}
	if again := call[api.EventCreated](t, f.App, http.MethodPost, eventsPath, other, http.StatusCreated); again.Message != "stored before" {
		t.Errorf("its replay is %+v", again)
	}
	batch := call[api.BatchCreated](t, f.App, http.MethodPost, eventsPath+"/batch", []api.AuditEvent{e, anEvent(5, "bob")}, http.StatusCreated)
	if batch.Duplicates != 1 || batch.Created != 1 {
		t.Errorf("a batch with a replay is %+v", batch)
	}
	verifyCommitments(t, f.conn)
}

func TestAHeldEventIsNotErased(t *testing.T) {
	f := newTrail(t)
	free, alsoFree := personal(), personal()
	f.store(t, free, alsoFree)
	f.hold(t)
	request := api.ErasureRequest{Reason: "a request", EventIds: []uuid.UUID{*free.EventId, *f.heldByID.EventId, *f.heldByActor.EventId}}
	refused := call[api.Problem](t, f.App, http.MethodPost, erasuresPath, request, http.StatusConflict)
	for _, held := range []api.AuditEvent{f.heldByID, f.heldByActor} {
		if reason := refused.FieldErrors[held.EventId.String()]; !strings.Contains(reason, "legal hold") {
			t.Errorf("held event %s: %q", held.EventId, reason)
		}
	}
	if len(refused.FieldErrors) != 2 {
		t.Errorf("refused for %v, want the two held events", refused.FieldErrors)
	}
	unknown := call[api.Problem](t, f.App, http.MethodPost, erasuresPath,
		api.ErasureRequest{Reason: "a request", EventIds: []uuid.UUID{uuid.New()}}, http.StatusConflict)
	if len(unknown.FieldErrors) != 1 {
		t.Errorf("an unknown event: %+v", unknown)
	}

	// A hold that is placed after the request wins, and nothing of the request is erased.
	asked := f.erasing(t, free, alsoFree)
	call[api.LegalHold](t, f.App, http.MethodPost, holdsPath, api.LegalHoldRequest{CorrelationId: &alsoFree.CorrelationId, Reason: "case 3"}, http.StatusCreated)
	f.maintained(t)
	done := f.ended(t, asked.ErasureId, api.Refused)
	if len(done.Held) != 1 || done.Held[0].EventId != *alsoFree.EventId || done.Erased != 0 {
		t.Errorf("got %+v, want the held event", done)
	}
	for _, e := range []api.AuditEvent{free, alsoFree} {
		if found := call[api.StoredEvent](t, f.App, http.MethodGet, eventsPath+"/"+e.EventId.String(), nil, http.StatusOK); found.ErasedAt != nil || found.ActorId == nil {
			t.Errorf("event %s was erased by a request that was refused", e.EventId)
		}
	}
	trail := call[api.EventPage](t, f.App, http.MethodGet, eventsPath+"?event_type=datastorage.erasure.refused", nil, http.StatusOK)
	if len(trail.Data) != 1 {
		t.Fatalf("%d events about the refusal, want 1", len(trail.Data))
	}
	keepExample(t, &trail.Data[0])
	own := call[api.Problem](t, f.App, http.MethodPost, erasuresPath,
		api.ErasureRequest{Reason: "a request", EventIds: []uuid.UUID{trail.Data[0].EventId}}, http.StatusConflict)
	if len(own.FieldErrors) != 1 {
		t.Errorf("an event of DataStorage: %+v", own)
	}
}

// Regression test: maintenance used to erase whatever a row of audit_requests names, which the serving role can write.
func TestOwnEventsAreNotErasedWhoeverRecordsTheRequest(t *testing.T) {
	f := newTrail(t)
	f.hold(t)
	e := personal()
	f.store(t, e)
	own := call[api.EventPage](t, f.App, http.MethodGet, eventsPath+"?event_type=datastorage.legalhold.placed", nil, http.StatusOK).Data[0]
	id := uuid.New()
	text, err := json.Marshal(map[string]any{"event_ids": []uuid.UUID{*e.EventId, own.EventId}, "reason": "none"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.serving.Exec(t.Context(), `INSERT INTO audit_requests (request_id, kind, request, requested_by) VALUES ($1, 'erasure', $2, 'nobody')`, id, string(text)); err != nil {
		t.Fatal(err)
	}
	f.maintained(t)
	if done := f.ended(t, id, api.Refused); !slices.Equal(done.Own, []uuid.UUID{own.EventId}) || done.Erased != 0 {
		t.Errorf("got %+v, want the event of DataStorage", done)
	}
	for _, id := range []uuid.UUID{*e.EventId, own.EventId} {
		if found := call[api.StoredEvent](t, f.App, http.MethodGet, eventsPath+"/"+id.String(), nil, http.StatusOK); found.ErasedAt != nil {
			t.Errorf("event %s was erased", id)
		}
	}
	// A row that was made as if it had been carried out may reach a restored database with the list.
	if _, err := f.conn.Exec(t.Context(), `UPDATE audit_requests SET result = '{"status": "erased", "erased": 2}' WHERE request_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	var list bytes.Buffer
	if _, err := app.ExportErasures(t.Context(), f.owner, &list, complete(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := app.ImportErasures(t.Context(), f.owner, &list); err != nil {
		t.Fatal(err)
	}
	if done := f.maintained(t); done.ErasedAgain != 1 {
		t.Errorf("%d events were erased again, want the one that is not DataStorage's", done.ErasedAgain)
	}
	if found := call[api.StoredEvent](t, f.App, http.MethodGet, eventsPath+"/"+own.EventId.String(), nil, http.StatusOK); found.ErasedAt != nil {
		t.Error("an event of DataStorage was erased by an imported list")
	}
}

// Regression test: one row that is no request used to fail every run, and the list of erasures with it.
func TestARowThatIsNoRequestIsRefusedAndTheOthersAreCarriedOut(t *testing.T) {
	f := newTrail(t)
	e, duplicate := personal(), personal()
	f.store(t, e, duplicate)
	text := func(v any) string {
		made, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(made)
	}
	type row = map[string]any
	bad := map[string]uuid.UUID{}
	insert := func(request, by, at, result string) uuid.UUID {
		id := uuid.New()
		if _, err := f.serving.Exec(t.Context(), `INSERT INTO audit_requests (request_id, kind, request, requested_by, requested_at, result)
			VALUES ($1, 'erasure', $2::text::jsonb, $3, $4::text::timestamptz, $5::text::jsonb)`, id, request, by, at, result); err != nil {
			t.Fatal(err)
		}
		return id
	}
	const then = "2019-01-01"
	good := []string{e.EventId.String()}
	for name, request := range map[string]any{
		"a text": "x", "a list": []int{1}, "null": nil, "no ids": row{"reason": "r"}, "no list": row{"event_ids": 7, "reason": "r"},
		"other ids": row{"event_ids": []any{1, "x"}, "reason": "r"}, "other reason": row{"event_ids": good, "reason": 7}, "no reason": row{"event_ids": good},
		"a long reason": row{"event_ids": good, "reason": strings.Repeat("r", 1<<22)},
		"many ids":      row{"event_ids": slices.Repeat(good, 1001), "reason": "r"}, "very many ids": row{"event_ids": slices.Repeat(good, 100_000), "reason": "r"},
	} {
		bad[name] = insert(text(request), "nobody", then, "null")
	}
	whole := text(row{"event_ids": []uuid.UUID{*duplicate.EventId, *duplicate.EventId}, "reason": "r"})
	kept := []uuid.UUID{
		insert(whole, strings.Repeat("n", 1<<20), "-infinity", `"x"`),
		insert(whole, "nobody", "infinity", `{"status": 7}`),
		insert(whole, "nobody", "4000-01-01 BC", text(row{"own": strings.Repeat("x", 1<<22)})),
		insert(whole, "nobody", "20000-01-01", `[]`),
	}
	asked := f.erasing(t, e)
	f.maintained(t)
	f.ended(t, asked.ErasureId, api.Erased)
	for name, id := range bad {
		if done := f.ended(t, id, api.Refused); !done.Unusable || done.Erased != 0 {
			t.Errorf("%s: got %+v, want it refused as unusable", name, done)
		}
	}
	for _, id := range kept {
		f.ended(t, id, api.Erased)
	}
	if list := call[api.ErasureList](t, f.App, http.MethodGet, erasuresPath, nil, http.StatusOK); len(list.Erasures) != len(bad)+len(kept)+1 {
		t.Errorf("%d erasures are listed, want all", len(list.Erasures))
	}
	f.wantNothingOf(t, "zoe")
}

// Regression test: a preview named events that the request for their erasure is refused for.
func TestAPreviewLeavesOwnEventsOut(t *testing.T) {
	f := newTrail(t)
	e := anEvent(1, "alice")
	hold := call[api.LegalHold](t, f.App, http.MethodPost, holdsPath, api.LegalHoldRequest{CorrelationId: &f.long.CorrelationId, Reason: "case 1"}, http.StatusCreated)
	e.CorrelationId = hold.HoldId.String()
	f.store(t, e)
	preview := call[api.ErasurePreview](t, f.App, http.MethodPost, erasuresPath+"/preview",
		api.ErasurePreviewRequest{Filter: api.EventFilter{"correlation_id": e.CorrelationId}}, http.StatusOK)
	if !slices.Equal(preview.EventIds, []uuid.UUID{*e.EventId}) {
		t.Fatalf("the preview found %v, want %s", preview.EventIds, e.EventId)
	}
	f.erasing(t, e)
}

func TestAnAlteredEventIsNotErased(t *testing.T) {
	f := newTrail(t)
	e := personal()
	f.store(t, e)
	execute(t, f.conn, `UPDATE audit_events SET namespace = 'elsewhere' WHERE actor_id = 'zoe@example.com'`)
	asked := f.erasing(t, e)
	f.maintained(t)
	if done := f.ended(t, asked.ErasureId, api.Refused); !slices.Equal(done.Altered, []uuid.UUID{*e.EventId}) {
		t.Errorf("got %+v, want the altered event", done)
	}
}

func TestARepeatedRequestIsOneErasure(t *testing.T) {
	f := newTrail(t)
	e, id := personal(), uuid.New()
	f.store(t, e)
	request := api.ErasureRequest{ErasureId: &id, EventIds: []uuid.UUID{*e.EventId, *e.EventId}, Reason: "a request"}
	first := call[api.Erasure](t, f.App, http.MethodPost, erasuresPath, request, http.StatusAccepted)
	if again := call[api.Erasure](t, f.App, http.MethodPost, erasuresPath, request, http.StatusAccepted); !again.RequestedAt.Equal(first.RequestedAt) || again.Events != 1 {
		t.Errorf("a repeated request is %+v, want %+v", again, first)
	}
	request.Reason = "another"
	call[api.Problem](t, f.App, http.MethodPost, erasuresPath, request, http.StatusConflict)
	for field, bad := range map[string]api.ErasureRequest{
		"reason":    {EventIds: []uuid.UUID{*e.EventId}},
		"event_ids": {Reason: "a request"},
	} {
		if refused := call[api.Problem](t, f.App, http.MethodPost, erasuresPath, bad, http.StatusBadRequest); refused.FieldErrors[field] == "" {
			t.Errorf("%s: %+v", field, refused)
		}
	}
	call[api.Problem](t, f.App, http.MethodGet, erasuresPath+"/"+uuid.NewString(), nil, http.StatusNotFound)
}

func TestAnErasureOfARunThatIsKilledIsCarriedOutOnce(t *testing.T) {
	f := newTrail(t)
	first, second := personal(), personal()
	f.store(t, first, second)
	ids := []uuid.UUID{f.erasing(t, first).ErasureId, f.erasing(t, second).ErasureId}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for after := 1; ; after++ {
		if last := killAfter(t, program, f.owner, after); last == "done" {
			break
		}
		execute(t, f.conn, `UPDATE audit_leases SET expires_at = '-infinity'`)
	}
	for _, id := range ids {
		f.ended(t, id, api.Erased)
		trail := call[api.EventPage](t, f.App, http.MethodGet, eventsPath+"?correlation_id="+id.String(), nil, http.StatusOK)
		if len(trail.Data) != 2 {
			t.Errorf("erasure %s has %d events, want a request and one end", id, len(trail.Data))
		}
	}
	f.wantNothingOf(t, "zoe")
	verifyCommitments(t, f.conn)
}

// Regression test: an erasure of an event that an older program had stored waited for the next whole run, and with it all
// erasures behind it.
func TestAnErasureOfAnIncompleteEventDoesNotWaitForTheNextRun(t *testing.T) {
	f := newTrail(t)
	m, err := app.NewMaintainer(app.MaintainOptions{DatabaseURL: f.owner, RetentionFloor: 1, Every: time.Hour, ManagementListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	erased := func(e api.AuditEvent) {
		t.Helper()
		asked := f.erasing(t, e)
		done := call[api.Erasure](t, f.App, http.MethodGet, erasuresPath+"/"+asked.ErasureId.String()+"?wait=60", nil, http.StatusOK)
		if done.Status != api.Erased || done.Erased != 1 {
			t.Fatalf("erasure %+v, want one that erased an event", done)
		}
	}
	first := personal()
	f.store(t, first)
	erased(first) // a run that has begun has completed events by now
	id, err := insertAsVersion1(t.Context(), f.conn, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	erased(api.AuditEvent{EventId: &id})
	verifyCommitments(t, f.conn)
}

// Regression test: the month that a stopped retention run had closed took no erasure, which failed every run after it.
func TestAnErasureIsCarriedOutInAMonthThatAStoppedRunClosed(t *testing.T) {
	f := newTrail(t)
	e := personal()
	f.store(t, e)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	m, err := app.NewMaintainer(app.MaintainOptions{
		DatabaseURL: f.owner, Slice: 40, Clock: clocktesting.NewFakeClock(time.Now().Add(later)), Between: func() error {
			if f.closed(t) {
				stop()
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Once(ctx); !errors.Is(err, context.Canceled) || !f.closed(t) {
		t.Fatalf("the run was not stopped while it had the month closed: %v", err)
	}
	asked := f.erasing(t, e)
	f.maintained(t)
	f.ended(t, asked.ErasureId, api.Erased)
	f.wantNothingOf(t, "zoe")
	f.store(t, anEvent(1, "bob")) // the month takes events again
}

// Regression test: an event that retention removed between the request and the erasure was not on the list.
func TestAnEventThatRetentionRemovedFirstIsErasedWhenItComesBack(t *testing.T) {
	f := newTrail(t)
	e := personal()
	e.RetentionDays = new(int32(1))
	f.store(t, e)
	asked := f.erasing(t, e)
	execute(t, f.conn, `DELETE FROM audit_events WHERE actor_id = 'zoe@example.com'`) // as a run does
	f.maintained(t)
	if done := f.ended(t, asked.ErasureId, api.Erased); !slices.Equal(done.Missing, []uuid.UUID{*e.EventId}) || done.Erased != 0 {
		t.Errorf("got %+v, want a missing event", done)
	}
	f.store(t, e) // from a spool
	execute(t, f.conn, `UPDATE audit_maintenance SET updated_at = '-infinity' WHERE task = 'erasures'`)
	if done := f.maintained(t); done.ErasedAgain != 1 {
		t.Errorf("%d events that came back were erased, want 1", done.ErasedAgain)
	}
	f.wantNothingOf(t, "zoe")
	verifyCommitments(t, f.conn)
}

func TestErasedEventsAreGoneAgainFromARestoredBackup(t *testing.T) {
	f := newTrail(t)
	e, held := personal(), personal()
	held.CorrelationId = f.heldByID.CorrelationId
	f.store(t, e, held)
	f.maintained(t)
	backup := dump(t, f.conn.Config().ConnString())
	asked := f.erasing(t, e)
	f.maintained(t)
	f.ended(t, asked.ErasureId, api.Erased)
	var list bytes.Buffer
	if n, err := app.ExportErasures(t.Context(), f.owner, &list, complete(t)); err != nil || n != 1 {
		t.Fatalf("exported %d erasures: %v", n, err)
	}
	if strings.Contains(list.String(), "zoe") {
		t.Errorf("the list says %s", list.String())
	}

	restored := newDatabase(t)
	r := &trail{owner: "", conn: connect(t, restored)}
	restore(t, restored, backup)
	owner, serving := withRoles(t, restored)
	r.App, r.owner = serve(t, serving), owner
	if found := call[api.StoredEvent](t, r.App, http.MethodGet, eventsPath+"/"+e.EventId.String(), nil, http.StatusOK); found.ActorId == nil {
		t.Fatal("the backup lacks what was erased later")
	}
	for want := range 2 {
		added, err := app.ImportErasures(t.Context(), owner, bytes.NewReader(list.Bytes()))
		if err != nil || added != 1-want {
			t.Fatalf("imported %d erasures: %v", added, err)
		}
	}
	if done := r.maintained(t); done.ErasedAgain != 1 {
		t.Errorf("erased %d events again, want 1", done.ErasedAgain)
	}
	if found := call[api.StoredEvent](t, r.App, http.MethodGet, eventsPath+"/"+e.EventId.String(), nil, http.StatusOK); found.ErasedAt == nil || found.ActorId != nil {
		t.Errorf("got %+v, want an erased event", found)
	}
	if again := call[api.EventCreated](t, r.App, http.MethodPost, eventsPath, e, http.StatusCreated); again.Message != "stored before" {
		t.Errorf("a replay is %+v, want a duplicate", again)
	}
	verifyCommitments(t, r.conn)
	if done := r.maintained(t); done.ErasedAgain != 0 {
		t.Errorf("the next run erased %d events again", done.ErasedAgain)
	}
	if _, err := app.ImportErasures(t.Context(), owner, strings.NewReader(`{"erasure_id": "x"}`)); err == nil {
		t.Error("a broken list was imported")
	}
}

// killAfter runs maintenance in a process, kills it after that many transactions, and returns its last line.
func killAfter(t *testing.T, program, database string, transactions int, environment ...string) (last string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), program)
	child.Env = append(append(os.Environ(), maintainedDatabase+"="+database), environment...)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; n < transactions && lines.Scan(); n++ {
		last = lines.Text()
	}
	_ = child.Process.Kill()
	_ = child.Wait() // it was killed
	if strings.HasPrefix(last, "failed") {
		t.Fatal(last)
	}
	return last
}

// dump is a backup of a database.
func dump(t *testing.T, database string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "pg_dump", "--no-password", "--dbname", database).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("pg_dump: %v: %s", err, failed.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func restore(t *testing.T, database string, backup []byte) {
	t.Helper()
	load := exec.CommandContext(t.Context(), "psql", "--no-psqlrc", "--no-password", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", database)
	load.Stdin = bytes.NewReader(backup)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v: %s", err, out)
	}
}
