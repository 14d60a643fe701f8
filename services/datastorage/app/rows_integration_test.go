//go:build integration

package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/app"
)

// listed is the body of a list.
func listed(t *testing.T, a *app.App, query url.Values) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.APIURL()+eventsPath+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", response.Status, body, err)
	}
	return string(body)
}

// inMode is a database's URL that says how statements run, as a pooler may need it.
func inMode(database, mode string) string {
	separator := "?"
	if strings.Contains(database, "?") {
		separator = "&"
	}
	return database + separator + "default_query_exec_mode=" + mode
}

// The server sends rows in another form where the URL says how statements run.
func TestAnAnswerIsTheSameInWhateverFormTheRowsArrive(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	direct := serveWith(t, app.Options{DatabaseURL: database})
	asText := serveWith(t, app.Options{DatabaseURL: inMode(database, "simple_protocol")})
	id := uuid.NewString()
	events := `[{"version":"1.0","event_type":"shop.order.paid","event_timestamp":"2026-11-20T10:00:00.123456Z","event_category":"shop","event_action":"pay",
		"event_outcome":"success","correlation_id":"` + id + `","event_data":{"a <b>":["grün \"&\" \u2028",1.5,true,null,{"c: d":"e, f"}]},"actor_type":"user","actor_id":"ann",
		"actor_ip":"192.0.2.1","resource_type":"Order","resource_id":"17","namespace":"shop","cluster_id":"eu-1","severity":"critical","duration_ms":1.234,
		"error_code":"E1","error_message":"it\nbroke","parent_event_id":"019ac4a7-7c00-7000-8000-0123456789ad","retention_days":90,"is_sensitive":true,
		"producer_id":"till-0","producer_epoch":7,"producer_seq":9223372036854775807},
		{"version":"1.0","event_type":"shop.order.paid","event_timestamp":"2026-11-20T10:00:01Z","event_category":"shop","event_action":"pay",
		"event_outcome":"failure","correlation_id":"` + id + `","event_data":{}}]`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, direct.APIURL()+eventsPath+"/batch", bytes.NewBufferString(events))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", response.Status, answer)
	}
	page := listed(t, asText, url.Values{"correlation_id": {id}})
	for name, query := range map[string]url.Values{"page": {"correlation_id": {id}}, "search": {"correlation_id": {id}, "event_category": {"shop"}}} {
		got := listed(t, direct, query)
		if got != page {
			t.Errorf("%s: in binary form\n%s\nas text\n%s", name, got, page)
		}
		for _, part := range []string{
			`"event_data":{"a \u003cb\u003e":["grün \"\u0026\" \u2028",1.5,true,null,{"c: d":"e, f"}]}`, `"producer_seq":9223372036854775807`, `"duration_ms":1.234`,
			`"parent_event_id":"019ac4a7-7c00-7000-8000-0123456789ad"`, `"event_timestamp":"2026-11-20T10:00:00.123456Z"`, `"error_message":"it\nbroke"`,
			`"is_sensitive":true`, `"retention_days":90`, `"event_data":{}`, `"event_outcome":"failure"`,
		} {
			if !strings.Contains(got, part) {
				t.Errorf("%s: no %s in %s", name, part, got)
			}
		}
	}
}

func TestEverySearchHasTheSameAnswerHoweverStatementsRun(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	direct := serveWith(t, app.Options{DatabaseURL: database})
	id, parent := uuid.NewString(), uuid.NewString()
	old := time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)
	changes := make([]map[string]any, 7)
	for i := range changes {
		changes[i] = map[string]any{
			"correlation_id": id, "event_timestamp": old.Add(time.Duration(i/3) * time.Second), "namespace": "shop", "parent_event_id": parent,
			"event_data": map[string]any{"order": map[string]any{"number": i % 2}, "it's": `a\b`},
		}
	}
	postEvents(t, direct, old, changes...)
	postEvents(t, direct, old, map[string]any{"event_id": uuid.Must(uuid.NewV6()), "correlation_id": id, "namespace": "shop", "parent_event_id": parent})
	queries := map[string]url.Values{
		"equality":    {"namespace": {"shop"}},
		"prefix":      {"correlation_id": {id}, "event_type": {"shop.*"}},
		"parent":      {"parent_event_id": {parent}},
		"pages":       {"namespace": {"shop"}, "limit": {"2"}},
		"pages up":    {"correlation_id": {id}, "event_outcome": {"success"}, "limit": {"2"}, "order": {"asc"}},
		"plain pages": {"correlation_id": {id}, "limit": {"2"}},
		"offset":      {"namespace": {"shop"}, "offset": {"3"}},
		"span":        {"event_category": {"shop"}, "since": {"2025-01-01"}, "until": {"2025-12-31"}},
		"detail":      {"detail_key": {"order.number"}, "detail_value": {"1"}},
		"quoted":      {"detail_key": {"it's"}, "detail_value": {`a\b`}},
		"no detail":   {"detail_key": {"nothing"}, "detail_value": {"1"}},
	}
	for _, mode := range []string{"simple_protocol", "exec", "describe_exec", "cache_describe"} {
		a := serveWith(t, app.Options{DatabaseURL: inMode(database, mode)})
		for name, query := range queries {
			wanted, found := everyPage(t, direct, query)
			if got, _ := everyPage(t, a, query); got != wanted || found == 0 != (name == "no detail") {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", mode, name, got, wanted)
			}
		}
		var stats datastorage.EventStats
		get(t, a, statsPath, url.Values{"since": {"2025-03-04"}, "until": {"2025-03-05"}, "namespace": {"shop"}}, http.StatusOK, &stats)
		if got := countsIn(stats); got["05:00:00 - - - -"] != int64(len(changes)+1) {
			t.Errorf("%s: counts are %v", mode, got)
		}
		var problem datastorage.Problem
		get(t, a, eventsPath, url.Values{"detail_key": {"order"}, "detail_value": {"1"}}, http.StatusBadRequest, &problem)
	}
}

func TestEveryWriteSucceedsHoweverStatementsRun(t *testing.T) {
	for _, mode := range []string{"simple_protocol", "exec"} {
		database := newDatabase(t)
		migrate(t, database, app.Roles{})
		database = inMode(database, mode)
		a := serveWith(t, app.Options{DatabaseURL: database})
		personal, held := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
		at := time.Now().UTC().Truncate(time.Second)
		events := []map[string]any{
			{"event_id": personal, "correlation_id": personal, "actor_id": "ann"}, {"event_id": held, "correlation_id": held, "actor_id": "bob"},
		}
		postEvents(t, a, at, events...)
		postEvents(t, a, at, events...) // a replay
		hold := datastorage.LegalHoldRequest{Filter: datastorage.EventFilter{"actor_id": "bob"}, Reason: "case 7"}
		call[datastorage.LegalHold](t, a, http.MethodPost, holdsPath, hold, http.StatusCreated)
		request := datastorage.ErasureRequest{EventIds: []uuid.UUID{personal}, Reason: "request 7"}
		asked := call[datastorage.Erasure](t, a, http.MethodPost, erasuresPath, request, http.StatusAccepted)
		maintainOnce(t, database)
		done := call[datastorage.Erasure](t, a, http.MethodGet, erasuresPath+"/"+asked.ErasureId.String(), nil, http.StatusOK)
		if done.Status != datastorage.Erased {
			t.Errorf("%s: %+v", mode, done)
		}
		postEvents(t, a, at, events...) // of an event that was erased
		for id, want := range map[uuid.UUID]int{personal: 1, held: 1} {
			if _, found := everyPage(t, a, url.Values{"correlation_id": {id.String()}}); found != want {
				t.Errorf("%s: %d events of %s, want %d", mode, found, id, want)
			}
		}
	}
}

// everyPage follows a list to its end and returns all pages, with how many events they have.
func everyPage(t *testing.T, a *app.App, query url.Values) (pages string, events int) {
	t.Helper()
	query = maps.Clone(query)
	for {
		body := listed(t, a, query)
		var page datastorage.EventPage
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		pages += body
		events += len(page.Data)
		if page.Pagination.NextCursor == nil {
			return pages, events
		}
		query.Del("offset")
		query.Set("cursor", *page.Pagination.NextCursor)
	}
}
