package accesslog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/services/datastorage/internal/accesslog"
)

// bundle is a log that records into a store in memory.
type bundle struct {
	*accesslog.Log

	t     *testing.T
	store *audit.Store
	sink  *audittest.MemorySink
}

func setup(t *testing.T, c clock.WithTicker, options ...audit.Option) *bundle {
	t.Helper()
	store, sink, _ := audittest.NewStore(t, options...)
	return &bundle{Log: accesslog.New(accesslog.Options{Recorder: store, Clock: c, Log: zap.NewNop()}), t: t, store: store, sink: sink}
}

func (b *bundle) flush() {
	b.t.Helper()
	if err := b.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// stored are the data of the events that were recorded.
func (b *bundle) stored() []map[string]any {
	b.t.Helper()
	if _, err := b.store.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	recorded := b.sink.Events()
	all := make([]map[string]any, 0, len(recorded))
	for _, e := range recorded {
		var data map[string]any
		if err := json.Unmarshal(e.Data, &data); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func (b *bundle) sum(field string) int {
	b.t.Helper()
	sum := 0.0
	for _, data := range b.stored() {
		value, _ := data[field].(float64)
		sum += value
	}
	return int(sum)
}

func by(name string) auth.Caller { return auth.Caller{Name: name} }

func filters(pairs ...string) []accesslog.Filter {
	var all []accesslog.Filter
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, accesslog.Filter{Name: pairs[i], Value: pairs[i+1]})
	}
	return all
}

func TestReadsWithTheSameFiltersAreOneEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, clock.RealClock{})
		alice := auth.Caller{Name: "alice", UID: "u-1", Groups: []string{"auditors"}}
		first := time.Now().UTC()
		b.Answered(200, &accesslog.Read{Caller: alice, Kind: "list", Filters: filters("correlation_id", "rr-1", "severity", "high"), Events: 3})
		time.Sleep(time.Second) //nolint:forbidigo // the clock of the bubble
		b.Answered(404, &accesslog.Read{Caller: alice, Kind: "list", Filters: filters("correlation_id", "rr-2", "severity", "high")})
		b.Answered(503, &accesslog.Read{Caller: alice, Kind: "list", Filters: filters("correlation_id", "rr-2", "severity", "high")})
		b.Answered(499, &accesslog.Read{Caller: alice, Kind: "list", Filters: filters("correlation_id", "rr-1", "severity", "high"), Events: 4})
		b.Answered(400, &accesslog.Read{Caller: alice, Kind: "list"})
		b.flush()
		want := map[string]any{
			"user": map[string]any{"name": "alice", "uid": "u-1", "groups": []any{"auditors"}}, "kind": "list",
			"requests": 4.0, "failed": 2.0, "events": 7.0,
			"first_at": first.Format(time.RFC3339Nano), "last_at": first.Add(time.Second).Format(time.RFC3339Nano),
			"filters": map[string]any{"correlation_id": []any{"rr-1", "rr-2"}, "severity": []any{"high"}},
		}
		if got := b.stored(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("stored\n%v, want one event\n%v", got, want)
		}
		e := b.sink.Events()[0]
		if e.Type != "datastorage.events.read" || e.Category != "security" || e.Action != "read" || e.Outcome != audit.OutcomeSuccess ||
			e.ActorType != "user" || e.ActorID != "alice" || e.CorrelationID != "reader:alice" || !e.Timestamp.Equal(first.Add(time.Second)) {
			t.Errorf("stored %+v", e)
		}
		b.flush()
		if n := len(b.stored()); n != 1 {
			t.Errorf("%d events after a flush without reads, want 1", n)
		}
	})
}

func TestCallersKindsAndFiltersAreToldApart(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{})
	for range 2 {
		b.Read(&accesslog.Read{Caller: by("alice"), Kind: "list", Filters: filters("severity", "high")})
		b.Read(&accesslog.Read{Caller: by("alice"), Kind: "list", Filters: filters("severity", "high", "namespace", "team")})
		b.Read(&accesslog.Read{Caller: by("alice"), Kind: "get", Filters: filters("event_id", "1")})
		b.Read(&accesslog.Read{Caller: auth.Caller{Name: "alice", UID: "u-2"}, Kind: "list", Filters: filters("severity", "high")})
		b.Read(&accesslog.Read{Kind: "list", Filters: filters("severity", "high"), Failed: true}) // nobody is authenticated
	}
	b.flush()
	if n := len(b.stored()); n != 5 || b.sum("requests") != 10 {
		t.Errorf("%d events, %d requests, want 5 and 10", n, b.sum("requests"))
	}
	for _, e := range b.sink.EventsOf("reader:") {
		if e.ActorType != "" || e.ActorID != "" || e.Outcome != audit.OutcomeFailure {
			t.Errorf("stored %+v without a caller", e)
		}
	}
}

func TestReadsAreRecordedAfterAnInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, clock.RealClock{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx, func() time.Duration { return time.Second }) }()
		synctest.Wait()
		b.Read(&accesslog.Read{Caller: by("alice"), Kind: "list"})
		time.Sleep(accesslog.Interval - time.Millisecond) //nolint:forbidigo // the clock of the bubble
		if n := len(b.stored()); n != 0 {
			t.Errorf("%d events before the interval is over", n)
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // the clock of the bubble
		synctest.Wait()
		if n := len(b.stored()); n != 1 {
			t.Errorf("%d events after the interval, want 1", n)
		}
		b.Read(&accesslog.Read{Caller: by("alice"), Kind: "list"})
		stop()
		if err := <-ended; err != nil || len(b.stored()) != 2 {
			t.Errorf("%d events after the stop, want 2; error %v", len(b.stored()), err)
		}
	})
}

func TestWhatIsListedIsBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		value    string
		listed   int
		requests int
	}{
		"by number": {"id", 100, 250},
		"by length": {strings.Repeat("é", 1000), 32, 40}, // 8 KiB of values of 255 bytes
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, clock.RealClock{})
			for i := range test.requests {
				b.Read(&accesslog.Read{Caller: by("alice"), Kind: "list", Filters: filters("correlation_id", fmt.Sprint(i)+test.value)})
			}
			b.flush()
			got := b.stored()[0]
			listed := got["filters"].(map[string]any)["correlation_id"].([]any)
			if len(listed) != test.listed || got["unlisted"] != float64(test.requests-test.listed) || b.sum("requests") != test.requests {
				t.Errorf("%d values listed, %v not, want %d of %d", len(listed), got["unlisted"], test.listed, test.requests)
			}
		})
	}
}

func TestTextsOfClientsCanBeStored(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{})
	b.Read(&accesslog.Read{
		Caller: auth.Caller{Name: strings.Repeat("n", 300), Groups: make([]string, 100)}, Kind: "trail", Filters: filters("correlation_id", "a\x00b\xff"),
	})
	b.flush()
	got := b.stored()[0]
	if want := map[string]any{"correlation_id": []any{"a\uFFFDb\uFFFD"}}; !reflect.DeepEqual(got["filters"], want) {
		t.Errorf("filters %q, want %q", got["filters"], want)
	}
	if groups := got["user"].(map[string]any)["groups"].([]any); len(groups) != 32 {
		t.Errorf("%d groups, want 32", len(groups))
	}
}

func TestOpenEntriesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{})
	const callers, each = 1000, 3
	for caller := range callers {
		for range each {
			b.Read(&accesslog.Read{Caller: by(fmt.Sprint("caller-", caller)), Kind: "list", Events: 1})
		}
	}
	b.flush()
	got := b.stored()
	if len(got) != 601 || b.sum("requests") != callers*each || b.sum("events") != callers*each {
		t.Errorf("%d events of %d requests, want 601 of %d", len(got), b.sum("requests"), callers*each)
	}
	others := map[string]int{}
	for _, data := range got {
		kind, _ := data["kind"].(string)
		user, _ := data["user"].(map[string]any)
		others[fmt.Sprint(kind, " named:", user["name"] != nil)]++
	}
	if want := map[string]int{"list named:true": 500, "others named:true": 100, "others named:false": 1}; !reflect.DeepEqual(others, want) {
		t.Errorf("kinds %v, want %v", others, want)
	}
}

func TestWhatCannotBeRecordedIsSummedUpFurther(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{}, audit.WithFullPolicy(audit.Refuse), audit.WithBounds(1, 4<<20))
	b.sink.Fail(fmt.Errorf("the database is away"))
	if err := b.store.Record(t.Context(), audittest.NewEvent("test.store.full", "full")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.Read(&accesslog.Read{Caller: by("alice"), Kind: "list", Filters: filters("severity", "high"), Events: 2})
		if err := b.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "record the requests of reader:alice") {
			t.Errorf("error %v, want one that names the caller", err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(over, func() time.Duration { return time.Second }); err == nil || !strings.Contains(err.Error(), "1 events about accesses are missing") {
		t.Errorf("error of a stop %v, want one that counts what is missing", err)
	}
	b.sink.Recover()
	if _, err := b.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.flush()
	if n := len(b.stored()); n != 2 || b.sum("requests") != 3 || b.sum("events") != 6 {
		t.Errorf("stored %v, want one event of three requests behind the first", b.stored())
	}
}

func TestConcurrentReadsAreCountedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{})
	const readers, each = 8, 200
	var all sync.WaitGroup
	for reader := range readers {
		all.Go(func() {
			for range each {
				b.Read(&accesslog.Read{Caller: by(fmt.Sprint("caller-", reader)), Kind: "list", Events: 1})
			}
		})
	}
	for range 20 {
		b.flush()
	}
	all.Wait()
	b.flush()
	if n := b.sum("requests"); n != readers*each {
		t.Errorf("%d requests recorded, want %d", n, readers*each)
	}
}

func TestALogThatIsMissingNotesNothing(t *testing.T) {
	t.Parallel()
	var none *accesslog.Log
	none.Answered(200, &accesslog.Read{Kind: "list"})
	none.Denied(&auth.Denial{})
}
