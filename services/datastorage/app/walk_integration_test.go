//go:build integration

package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/services/datastorage/app"
)

// trailOfManyMonths stores events of three months, some of equal times and some
// whose time is not that of their id. One of a hundred has severity rare, and one
// a nested name.
const trailOfManyMonths = `INSERT INTO audit_events (id_time, event_id, version, event_type, event_timestamp, event_category, event_action, event_outcome,
		correlation_id, event_data, severity, namespace, retention_days, is_sensitive, content_digest, received_at)
	SELECT id_time, (lpad(to_hex((extract(epoch FROM id_time) * 1000)::bigint), 12, '0') || '7' || substr(md5($1::text || n), 1, 3) || '8' || substr(md5($1::text || n), 4, 15))::uuid,
		'1.0', 'shop.order.paid', CASE WHEN n % 500 = 0 THEN place - interval '40 days' ELSE place END, 'shop', 'pay', 'success', 'c-' || n / 8,
		jsonb_build_object('target', jsonb_build_object('name', CASE WHEN n % 100 = 3 THEN 'wanted' ELSE 'w' || n END), 'n', n),
		CASE WHEN n % 100 = 0 THEN 'rare' ELSE 'common' END, 'ns-' || n % 7, 30, false, '\x00', place
	FROM (SELECT n, date_trunc('milliseconds', $2::timestamptz - (n / 10) * interval '3 hours') AS id_time,
			$2::timestamptz - (n / 10) * interval '3 hours' AS place FROM generate_series(0, $3::integer - 1) AS n) AS made`

func storeMany(t *testing.T, conn *pgx.Conn, events int) {
	t.Helper()
	at := time.Now().UTC().Truncate(time.Minute).Add(-time.Minute)
	if _, err := conn.Exec(t.Context(), trailOfManyMonths, uuid.NewString(), at, events); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, `ANALYZE audit_events`)
}

func serveWith(t *testing.T, o app.Options) *app.App {
	t.Helper()
	o.Listen, o.ManagementListen = "127.0.0.1:0", "127.0.0.1:0"
	a, err := app.New(o)
	if err != nil {
		t.Fatal(err)
	}
	running, err := lifecycle.Start(t.Context(), "DataStorage", a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func get(t *testing.T, a *app.App, path string, query url.Values, wanted int, answer any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.APIURL()+path+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != wanted {
		t.Fatalf("%s is answered %s: %s", request.URL, response.Status, body)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		t.Fatal(err)
	}
}

const eventsPath = "/api/v1/audit/events"

// walked is what a client gets that follows the cursors to their end.
type walked struct {
	ids   []uuid.UUID
	pages []datastorage.EventPage
}

// walkAll follows the cursors; between is called after each page.
func walkAll(t *testing.T, a *app.App, query url.Values, between func()) (w walked) {
	t.Helper()
	query = url.Values(http.Header(query).Clone())
	for {
		var page datastorage.EventPage
		get(t, a, eventsPath, query, http.StatusOK, &page)
		for i := range page.Data {
			w.ids = append(w.ids, page.Data[i].EventId)
		}
		w.pages = append(w.pages, page)
		p := page.Pagination
		if p.HasMore != (p.NextCursor != nil) {
			t.Fatalf("has_more and next_cursor disagree: %+v", p)
		}
		if !p.HasMore {
			return w
		}
		if len(w.pages) > 100_000 {
			t.Fatal("the walk does not end")
		}
		query.Set("cursor", *p.NextCursor)
		query.Del("offset")
		between()
	}
}

func nothing() {}

// inSQL are the ids that bare SQL finds, in the order of an answer.
func inSQL(t *testing.T, conn *pgx.Conn, condition, order string) []uuid.UUID {
	t.Helper()
	rows, err := conn.Query(t.Context(), fmt.Sprintf(`SELECT event_id FROM audit_events WHERE %s
		ORDER BY coalesce(sort_time, event_timestamp) %s, event_id %s`, condition, order, order))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// searches and what they find.
var searches = map[string]struct {
	query     url.Values
	condition string
}{
	"rare":                       {url.Values{"severity": {"rare"}}, `severity = 'rare'`},
	"common":                     {url.Values{"severity": {"common"}, "limit": {"1000"}}, `severity = 'common'`},
	"nested":                     {url.Values{"detail_key": {"target.name"}, "detail_value": {"wanted"}}, `event_data #>> '{target,name}' = 'wanted'`},
	"number":                     {url.Values{"detail_key": {"$.n"}, "detail_value": {"4711"}}, `event_data ->> 'n' = '4711'`},
	"nothing":                    {url.Values{"severity": {"none"}}, `false`},
	"small pages of equal times": {url.Values{"namespace": {"ns-3"}, "severity": {"rare"}, "limit": {"2"}}, `namespace = 'ns-3' AND severity = 'rare'`},
	"a span": {
		url.Values{"severity": {"rare"}, "since": {"2000h"}, "until": {"100h"}},
		`severity = 'rare' AND event_timestamp >= now() - interval '2000 hours' AND event_timestamp < now() - interval '100 hours'`,
	},
	"two filters and a trail": {url.Values{"severity": {"rare"}, "correlation_id": {"c-100"}}, `severity = 'rare' AND correlation_id = 'c-100'`},
}

// checkSearches compares all searches with bare SQL, in both orders.
func checkSearches(t *testing.T, conn *pgx.Conn, a *app.App) {
	t.Helper()
	for name, search := range searches {
		for _, order := range []string{"desc", "asc"} {
			query := url.Values(http.Header(search.query).Clone())
			query.Set("order", order)
			got := walkAll(t, a, query, nothing)
			if want := inSQL(t, conn, search.condition, order); !slices.Equal(got.ids, want) {
				t.Errorf("%s, %s: %d events, want %d, or in another order", name, order, len(got.ids), len(want))
			}
			last := got.pages[len(got.pages)-1].Pagination
			if last.ScannedUntil != nil || last.TotalIsLowerBound && last.Total < 10_000 || !last.TotalIsLowerBound && last.Total != len(got.ids) {
				t.Errorf("%s, %s: the last page says %+v of %d events", name, order, last, len(got.ids))
			}
			for _, page := range got.pages[:len(got.pages)-1] {
				if page.Pagination.ScannedUntil == nil || page.Pagination.Total > len(got.ids) {
					t.Fatalf("%s, %s: a page on the way says %+v", name, order, page.Pagination)
				}
			}
		}
	}
}

// manyEvents are more than a step of a millisecond looks at.
const manyEvents = 8_000

// searched is a service whose steps are short, and a connection to its database, which has many events.
func searched(t *testing.T, events int) (*pgx.Conn, *app.App) {
	t.Helper()
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	storeMany(t, conn, events)
	return conn, serveWith(t, app.Options{DatabaseURL: database, QueryStep: time.Millisecond})
}

func TestASearchGoesOnInStepsAndFindsEachEventOnceInOrder(t *testing.T) {
	conn, a := searched(t, manyEvents)
	checkSearches(t, conn, a)
}

// A step takes at least 10 ms, too little for this many events.
func TestASearchThatFindsNothingTakesSeveralSteps(t *testing.T) {
	_, a := searched(t, 10*manyEvents)
	for _, order := range []string{"desc", "asc"} {
		const several = 3
		if got := walkAll(t, a, url.Values{"severity": {"none"}, "order": {order}}, nothing); len(got.pages) < several || len(got.ids) > 0 {
			t.Errorf("%s: %d steps and %d events, want %d steps", order, len(got.pages), len(got.ids), several)
		}
	}
}

func TestTheIndexesOfCompleteMonthsAnswerASearchTogetherWithAWalk(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	const events = 4000
	storeMany(t, conn, events)
	maintainOnce(t, database)
	execute(t, conn, `ANALYZE audit_events`)
	// The walk comes to its end in one step, or needs several.
	for _, step := range []time.Duration{time.Minute, 30 * time.Millisecond, 3 * time.Millisecond} {
		checkSearches(t, conn, serveWith(t, app.Options{DatabaseURL: database, QueryStep: step}))
	}
	execute(t, conn, `SET enable_seqscan = off`, `SET enable_indexscan = off`)
	for condition, index := range map[string]string{
		`severity = 'none'`:    "_by_kinds",
		`namespace = 'ns-1'`:   "_by_kinds",
		`error_code = 'E1'`:    "_by_error_code",
		`resource_id = 'none'`: "_by_kinds",
		`(event_data @? '$."target"."name" ? (@ == "wanted")' AND EXISTS (SELECT FROM jsonb_path_query(event_data, '$."target"."name"')))`: "_by_data",
	} {
		rows, err := conn.Query(t.Context(), `EXPLAIN SELECT event_id FROM audit_events WHERE id_time < now() - interval '40 days' AND `+condition)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(plan, func(line string) bool { return strings.Contains(line, index) }) {
			t.Errorf("%s: no index ...%s:\n%s", condition, index, strings.Join(plan, "\n"))
		}
	}
}

func TestAStepSaysHowFarItCame(t *testing.T) {
	_, a := searched(t, manyEvents)
	for order, later := range map[string]int{"desc": -1, "asc": 1} {
		got := walkAll(t, a, url.Values{"severity": {"none"}, "order": {order}}, nothing)
		var before *time.Time
		for _, page := range got.pages[:len(got.pages)-1] {
			until := page.Pagination.ScannedUntil
			if before != nil && until.Compare(*before) == -later {
				t.Fatalf("%s: the search went back from %s to %s", order, before, until)
			}
			if before = until; !page.Pagination.TotalIsLowerBound {
				t.Fatalf("%s: a total is exact before the end", order)
			}
		}
	}
}

func TestASearchIsStableWhileEventsAreStored(t *testing.T) {
	conn, a := searched(t, manyEvents)
	want := inSQL(t, conn, `severity = 'rare'`, "desc")
	got := walkAll(t, a, url.Values{"severity": {"rare"}, "limit": {"7"}}, func() { storeMany(t, conn, 11) })
	seen := map[uuid.UUID]bool{}
	for _, id := range got.ids {
		if seen[id] {
			t.Fatalf("event %s comes twice", id)
		}
		seen[id] = true
	}
	for _, id := range want {
		if !seen[id] {
			t.Fatalf("event %s is missing", id)
		}
	}
}

func TestAnOffsetIsKeptFromStepToStep(t *testing.T) {
	conn, a := searched(t, manyEvents)
	all := inSQL(t, conn, `severity = 'rare'`, "desc")
	for _, offset := range []int{1, len(all) - 3, len(all) + 5} {
		got := walkAll(t, a, url.Values{"severity": {"rare"}, "offset": {strconv.Itoa(offset)}}, nothing)
		if want := all[min(offset, len(all)):]; !slices.Equal(got.ids, want) {
			t.Errorf("offset %d: %d events, want %d", offset, len(got.ids), len(want))
		}
	}
}

func TestACursorOfAnotherSearchIsRefused(t *testing.T) {
	_, a := searched(t, manyEvents)
	var page datastorage.EventPage
	get(t, a, eventsPath, url.Values{"severity": {"rare"}, "limit": {"1"}}, http.StatusOK, &page)
	if page.Pagination.NextCursor == nil {
		t.Fatal("a full page came to the end")
	}
	var problem datastorage.Problem
	get(t, a, eventsPath, url.Values{"severity": {"other"}, "cursor": {*page.Pagination.NextCursor}}, http.StatusBadRequest, &problem)
	if problem.FieldErrors["cursor"] == "" {
		t.Errorf("the answer does not name the cursor: %+v", problem)
	}
}
