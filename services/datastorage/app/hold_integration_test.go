//go:build integration

package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	clocktesting "k8s.io/utils/clock/testing"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/services/datastorage/app"
)

const holdsPath = "/api/v1/audit/legal-hold"

// call calls the API and decodes the answer, which must have the status.
func call[T any](t *testing.T, a *app.App, method, path string, body any, status int) (decoded T) {
	t.Helper()
	var sent io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, a.APIURL()+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != status {
		t.Fatalf("%s %s: %s, want %d: %s", method, path, answer.Status, status, text)
	}
	if err := json.Unmarshal(text, &decoded); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return decoded
}

// keepExample writes an event as the example of its type, for make event-examples.
func keepExample(t *testing.T, e *api.StoredEvent) {
	t.Helper()
	dir := os.Getenv("EVENT_EXAMPLES")
	if dir == "" {
		return
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, e.EventType+".json"), append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// withRoles migrates a database whose tables, maintenance and service have roles as in a deployment.
func withRoles(t *testing.T, database string) (owner, serving string) {
	t.Helper()
	owner, serving = as(t, database, postgres.MigrationRole), as(t, database, postgres.ServingRole)
	migrate(t, owner, app.Roles{Owner: postgres.OwnerRole, Serving: postgres.ServingRole})
	return owner, serving
}

func TestALegalHoldIsPlacedListedAndReleased(t *testing.T) {
	_, serving := withRoles(t, newDatabase(t))
	a := serve(t, serving)
	held, id := uuid.NewString(), uuid.New()
	request := api.LegalHoldRequest{HoldId: &id, CorrelationId: &held, Reason: "case 7"}
	placed := call[api.LegalHold](t, a, http.MethodPost, holdsPath, request, http.StatusCreated)
	if again := call[api.LegalHold](t, a, http.MethodPost, holdsPath, request, http.StatusCreated); !again.PlacedAt.Equal(placed.PlacedAt) {
		t.Errorf("a repeated request placed another hold: %v, %v", placed, again)
	}
	request.Reason = "case 8"
	call[api.Problem](t, a, http.MethodPost, holdsPath, request, http.StatusConflict)
	filtered := call[api.LegalHold](t, a, http.MethodPost, holdsPath,
		api.LegalHoldRequest{Filter: map[string]string{"actor_id": "alice", "since": "24h"}, Reason: "case 9"}, http.StatusCreated)
	if since := filtered.Filter["since"]; !strings.HasSuffix(since, "Z") {
		t.Errorf("the filter begins at %q, want a time", since)
	}
	if list := call[api.LegalHoldList](t, a, http.MethodGet, holdsPath, nil, http.StatusOK); len(list.LegalHolds) != 2 {
		t.Errorf("got %v, want two holds", list)
	}
	released := call[api.LegalHoldList](t, a, http.MethodDelete, holdsPath+"/"+held+"?reason=settled", nil, http.StatusOK)
	if len(released.LegalHolds) != 1 || released.LegalHolds[0].ReleaseReason != "settled" {
		t.Errorf("released %v", released)
	}
	call[api.Problem](t, a, http.MethodDelete, holdsPath+"/"+held+"?reason=settled", nil, http.StatusNotFound)
	if list := call[api.LegalHoldList](t, a, http.MethodGet, holdsPath, nil, http.StatusOK); len(list.LegalHolds) != 1 || list.LegalHolds[0].HoldId != filtered.HoldId {
		t.Errorf("got %v, want the hold on the filter", list)
	}
	if list := call[api.LegalHoldList](t, a, http.MethodGet, holdsPath+"/"+held, nil, http.StatusOK); len(list.LegalHolds) != 1 || list.LegalHolds[0].ReleasedAt == nil {
		t.Errorf("got %v, want the released hold", list)
	}
	trail := call[api.EventPage](t, a, http.MethodGet, "/api/v1/audit/events?order=asc&correlation_id="+id.String(), nil, http.StatusOK)
	types := make([]string, 0, len(trail.Data))
	for _, e := range trail.Data {
		keepExample(t, &e)
		types = append(types, e.EventType)
		if e.EventCategory != "security" || *e.RecordedBy != "kubernaut:datastorage" {
			t.Errorf("event %v", e)
		}
	}
	if want := []string{"datastorage.legalhold.placed", "datastorage.legalhold.released"}; !slices.Equal(types, want) {
		t.Errorf("the hold's trail has %v, want %v", types, want)
	}
}

// Regression test: releasing a hold by its id also released the holds on its trail, whose correlation id is that id.
func TestAHoldThatIsReleasedByItsIDLeavesThatOnItsTrail(t *testing.T) {
	_, serving := withRoles(t, newDatabase(t))
	a := serve(t, serving)
	held := uuid.NewString()
	hold := call[api.LegalHold](t, a, http.MethodPost, holdsPath, api.LegalHoldRequest{CorrelationId: &held, Reason: "case 7"}, http.StatusCreated)
	name := hold.HoldId.String()
	onTrail := call[api.LegalHold](t, a, http.MethodPost, holdsPath, api.LegalHoldRequest{CorrelationId: &name, Reason: "case 8"}, http.StatusCreated)
	released := call[api.LegalHoldList](t, a, http.MethodDelete, holdsPath+"/"+name+"?reason=settled", nil, http.StatusOK)
	if len(released.LegalHolds) != 1 || released.LegalHolds[0].HoldId != hold.HoldId {
		t.Errorf("released %v, want hold %s", released, name)
	}
	call[api.Problem](t, a, http.MethodDelete, holdsPath+"/"+name+"?reason=again", nil, http.StatusNotFound)
	if list := call[api.LegalHoldList](t, a, http.MethodGet, holdsPath, nil, http.StatusOK); len(list.LegalHolds) != 1 || list.LegalHolds[0].HoldId != onTrail.HoldId {
		t.Errorf("got %v, want the hold on the trail", list)
	}
	released = call[api.LegalHoldList](t, a, http.MethodDelete, holdsPath+"/"+onTrail.HoldId.String()+"?reason=settled", nil, http.StatusOK)
	if len(released.LegalHolds) != 1 {
		t.Errorf("released %v, want the hold on the trail", released)
	}
}

// Regression test: a repeated request whose since is relative was answered 409, as if it were about another hold.
func TestARepeatedHoldWithARelativeTimeIsOneHold(t *testing.T) {
	_, serving := withRoles(t, newDatabase(t))
	now := clocktesting.NewFakeClock(time.Now())
	a := serveWith(t, app.Options{DatabaseURL: serving, Clock: now})
	id := uuid.New()
	request := api.LegalHoldRequest{HoldId: &id, Filter: map[string]string{"actor_id": "alice", "since": "24h"}, Reason: "case 9"}
	placed := call[api.LegalHold](t, a, http.MethodPost, holdsPath, request, http.StatusCreated)
	now.Step(time.Minute)
	if again := call[api.LegalHold](t, a, http.MethodPost, holdsPath, request, http.StatusCreated); again.Filter["since"] != placed.Filter["since"] {
		t.Errorf("the repeated request is answered with %v, want %v", again, placed)
	}
	request.Filter["since"] = "25h"
	call[api.Problem](t, a, http.MethodPost, holdsPath, request, http.StatusConflict)
}

// Regression test: the second of two holds that were placed at once was answered 503.
func TestHoldsThatArePlacedAtOnceWaitForEachOther(t *testing.T) {
	_, serving := withRoles(t, newDatabase(t))
	a := serve(t, serving)
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			call[api.LegalHold](t, a, http.MethodPost, holdsPath, api.LegalHoldRequest{CorrelationId: new(fmt.Sprintf("rr-%d", n)), Reason: "case"}, http.StatusCreated)
		})
	}
	all.Wait()
}

func TestAnUnusableLegalHoldIsRefusedByField(t *testing.T) {
	_, serving := withRoles(t, newDatabase(t))
	a := serve(t, serving)
	for field, request := range map[string]api.LegalHoldRequest{
		"reason":         {CorrelationId: new("a")},
		"correlation_id": {CorrelationId: new("a"), Filter: map[string]string{"actor_id": "alice"}, Reason: "case"},
		"filter.limit":   {Filter: map[string]string{"limit": "5"}, Reason: "case"},
		// They would hold nothing.
		"filter.namespace":  {Filter: map[string]string{"namespace": "shop-*"}, Reason: "case"},
		"filter.event_type": {Filter: map[string]string{"event_type": "gateway"}, Reason: "case"},
	} {
		if refused := call[api.Problem](t, a, http.MethodPost, holdsPath, request, http.StatusBadRequest); refused.FieldErrors[field] == "" {
			t.Errorf("%s: %v", field, refused)
		}
	}
	for want, body := range map[string]any{
		"filter has an array where a text belongs": map[string]any{"filter": map[string]any{"actor_id": []string{"alice"}}, "reason": "case"},
		"reason has a number where a text belongs": map[string]any{"correlation_id": "a", "reason": 5},
		"an id in it must be a UUID":               map[string]any{"hold_id": "7", "correlation_id": "a", "reason": "case"},
		`unknown field "limit"`:                    map[string]any{"limit": 5},
	} {
		refused := call[api.Problem](t, a, http.MethodPost, holdsPath, body, http.StatusBadRequest)
		if !strings.Contains(refused.Detail, want) || strings.Contains(refused.Detail, "json:") {
			t.Errorf("got %q, want %q", refused.Detail, want)
		}
	}
	call[api.Problem](t, a, http.MethodPost, holdsPath, map[string]string{"corelation_id": "a", "reason": "case"}, http.StatusBadRequest)
	call[api.Problem](t, a, http.MethodDelete, holdsPath+"/"+url.PathEscape("a b"), nil, http.StatusBadRequest)
	call[api.Problem](t, a, http.MethodPost, holdsPath, api.LegalHoldRequest{CorrelationId: new("rr-*"), Reason: "case"}, http.StatusBadRequest)
}

// Regression test: with another isolation level, what waits for the lock row sees the holds of before its wait.
// Maintenance used to leave the level to the database.
func TestTransactionsAreReadCommittedWhateverTheDatabaseSays(t *testing.T) {
	f := newTrail(t)
	execute(t, f.conn,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), 'repeatable read'); END $$`,
		`CREATE FUNCTION want_read_committed() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('transaction_isolation') <> 'read committed' THEN
				RAISE 'isolation level %: %', current_setting('transaction_isolation'), current_query();
			END IF;
		END $$`,
		`CREATE FUNCTION of_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.want_read_committed(); RETURN NULL; END $$`,
		`CREATE FUNCTION of_table() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.want_read_committed(); END $$`,
		`CREATE EVENT TRIGGER changes_of_tables ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'DROP TABLE') EXECUTE FUNCTION of_table()`)
	for _, table := range []string{"audit_events", "audit_batches", "audit_holds", "audit_requests", "audit_erasures"} {
		execute(t, f.conn, `CREATE TRIGGER statements BEFORE INSERT OR UPDATE OR DELETE ON `+table+` FOR EACH STATEMENT EXECUTE FUNCTION of_statement()`)
	}
	f.App = serveWith(t, app.Options{DatabaseURL: f.serving.Config().ConnString()}) // has connections of after the change
	e := personal()
	f.store(t, e)
	f.hold(t)
	asked := f.erasing(t, e)
	if done, err := f.maintain(t, later, nil); err != nil || len(done.Removed) == 0 {
		t.Fatalf("got %+v, error %v, want expired events removed", done, err)
	}
	f.ended(t, asked.ErasureId, api.Erased)
	var list bytes.Buffer
	if _, err := app.ExportErasures(t.Context(), f.owner, &list, complete(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := app.ImportErasures(t.Context(), f.owner, &list); err != nil {
		t.Fatal(err)
	}
}
