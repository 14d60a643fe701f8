//go:build integration

package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/app"
)

const statsPath = eventsPath + "/stats"

// postEvents stores events in one batch, made by changes to a common one.
func postEvents(t *testing.T, a *app.App, at time.Time, changes ...map[string]any) {
	t.Helper()
	batch := make([]map[string]any, len(changes))
	for i, change := range changes {
		batch[i] = map[string]any{
			"event_id": uuid.Must(uuid.NewV7()), "version": "1.0", "event_type": "shop.order.paid", "event_timestamp": at, "event_category": "shop",
			"event_action": "pay", "event_outcome": "success", "correlation_id": uuid.NewString(), "event_data": map[string]any{},
		}
		maps.Copy(batch[i], change)
	}
	body, err := json.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.APIURL()+eventsPath+"/batch", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("a batch is answered %s", answer.Status)
	}
}

// maintainOnce counts what was stored.
func maintainOnce(t *testing.T, database string) {
	t.Helper()
	maintainer, err := app.NewMaintainer(app.MaintainOptions{DatabaseURL: database})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := maintainer.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// countsIn tells counts by their buckets and kinds.
func countsIn(stats datastorage.EventStats) map[string]int64 {
	told := map[string]int64{}
	text := func(p *string) string {
		if p == nil {
			return "-"
		}
		return *p
	}
	for _, c := range stats.Data {
		told[fmt.Sprintf("%s %s %s %s %s", c.Start.Format(time.TimeOnly), text(c.EventType), text(c.EventOutcome), text(c.Severity), text(c.Namespace))] += c.Events
	}
	return told
}

func wantCounts(t *testing.T, a *app.App, query url.Values, want map[string]int64) {
	t.Helper()
	var stats datastorage.EventStats
	get(t, a, statsPath, query, http.StatusOK, &stats)
	if got := countsIn(stats); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s:\n got %v\nwant %v", query.Encode(), got, want)
	}
	if stats.Span.UncountedEvents != 0 || stats.Span.ContinueAt != nil {
		t.Errorf("%s: %+v", query.Encode(), stats.Span)
	}
}

func TestCountsHaveEveryEventBeforeAndAfterMaintenance(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	a := serve(t, database)
	morning := time.Date(2026, 3, 4, 8, 59, 30, 0, time.UTC)
	failed := map[string]any{"event_outcome": "failure", "severity": "high", "namespace": "shop", "event_type": "gateway.signal.received"}
	check := func() {
		t.Helper()
		span := func(more ...string) url.Values {
			query := url.Values{"since": {"2026-03-04T08:00:00Z"}, "until": {"2026-03-04T11:00:00Z"}}
			for i := 0; i < len(more); i += 2 {
				query.Set(more[i], more[i+1])
			}
			return query
		}
		wantCounts(t, a, span(), map[string]int64{"08:00:00 - - - -": 3, "09:00:00 - - - -": 2})
		for _, day := range []string{"24h", "1d"} {
			wantCounts(t, a, span("bucket", day), map[string]int64{"00:00:00 - - - -": 5})
		}
		wantCounts(t, a, span("by", "event_outcome,namespace"), map[string]int64{
			"08:00:00 - success - -": 2, "08:00:00 - failure - shop": 1, "09:00:00 - failure - shop": 1, "09:00:00 - success - -": 1,
		})
		wantCounts(t, a, span("event_type", "gateway.*", "by", "severity"), map[string]int64{"08:00:00 - - high -": 1, "09:00:00 - - high -": 1})
		wantCounts(t, a, span("namespace", "shop", "until", "2026-03-04T09:00:00Z"), map[string]int64{"08:00:00 - - - -": 1})
		wantCounts(t, a, span("severity", "low"), map[string]int64{})
	}
	postEvents(t, a, morning, nil, failed, nil)
	postEvents(t, a, morning.Add(time.Minute), failed)
	maintainOnce(t, database)
	postEvents(t, a, morning.Add(2*time.Minute), nil)
	check() // a part is in the rollup, the rest is not
	maintainOnce(t, database)
	check()
}

func TestCountsOfALongSpanGoOn(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	const minutes = 450_000
	execute(t, conn, fmt.Sprintf(`INSERT INTO audit_rollup SELECT timestamptz '2025-01-01 00:00:00+00' + n * interval '1 minute', 'a.b', 'success', '', '', 2
		FROM generate_series(0, %d) AS n`, minutes-1))
	a := serve(t, database)
	query := url.Values{"since": {"2025-01-01"}, "until": {"2026-01-01"}, "bucket": {"24h"}}
	var sum int64
	for calls := 1; ; calls++ {
		var stats datastorage.EventStats
		get(t, a, statsPath, query, http.StatusOK, &stats)
		for _, c := range stats.Data {
			sum += c.Events
		}
		if stats.Span.ContinueAt == nil {
			if calls < 3 {
				t.Errorf("%d calls, want several", calls)
			}
			break
		}
		query.Set("since", stats.Span.ContinueAt.Format(time.RFC3339))
	}
	if sum != 2*minutes {
		t.Errorf("%d events, want %d", sum, 2*minutes)
	}
}

func TestCountsThatAreNotKeptAreRefused(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	a := serve(t, database)
	for name, query := range map[string]url.Values{
		"actor_id": {"actor_id": {"alice"}},
		"by":       {"by": {"actor_id"}},
		"bucket":   {"bucket": {"90s"}},
		"since":    {"since": {"yesterday"}},
		"until":    {"since": {"1h"}, "until": {"2h"}},
	} {
		var problem datastorage.Problem
		get(t, a, statsPath, query, http.StatusBadRequest, &problem)
		if problem.FieldErrors[name] == "" {
			t.Errorf("%s is not named: %+v", name, problem)
		}
	}
}
