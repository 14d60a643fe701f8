//go:build integration

package app_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

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

// The server sends rows in another form where the URL says how statements run.
func TestAnAnswerIsTheSameInWhateverFormTheRowsArrive(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	direct := serveWith(t, app.Options{DatabaseURL: database})
	separator := "?"
	if strings.Contains(database, "?") {
		separator = "&"
	}
	asText := serveWith(t, app.Options{DatabaseURL: database + separator + "default_query_exec_mode=simple_protocol"})
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
