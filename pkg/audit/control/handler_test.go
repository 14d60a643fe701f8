package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
)

// records has DataStorage's records of acknowledgements.
type records struct {
	known map[uuid.UUID]*httpsink.Acknowledgement
	away  error
}

func (r *records) Acknowledgement(_ context.Context, id uuid.UUID) (*httpsink.Acknowledgement, error) {
	if r.away != nil {
		return nil, r.away
	}
	if a := r.known[id]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("acknowledgement %s: %w", id, httpsink.ErrNoAcknowledgement)
}

// bundle is a store with a spool that rejects events of type test.control.bad, and
// its control listener.
type bundle struct {
	store   *audit.Store
	sink    *audittest.MemorySink
	records *records
	url     string
	client  *control.Client
}

func setup(t *testing.T) *bundle {
	t.Helper()
	disk, err := spool.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{sink: audittest.NewMemorySink(), records: &records{known: map[uuid.UUID]*httpsink.Acknowledgement{}}}
	b.sink.Reject(func(e audit.Event) error {
		if e.Type == "test.control.bad" {
			return errors.New("it is bad")
		}
		return nil
	})
	if b.store, err = audit.New(b.sink, audit.WithSpool(disk), audit.WithDurability(audit.Spooled)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(control.Handler(control.Options{Store: b.store, Records: b.records, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(func() {
		server.Close()
		var failure *audit.FlushError
		if err := b.store.Close(context.WithoutCancel(t.Context())); err != nil && (!errors.As(err, &failure) || !failure.Persisted()) {
			t.Errorf("close store: %v", err)
		}
	})
	b.url, b.client = server.URL, &control.Client{URL: server.URL, HTTP: server.Client()}
	return b
}

// reject records an event that is rejected, and returns its id.
func (b *bundle) reject(t *testing.T, correlationID string, sensitive bool) uuid.UUID {
	t.Helper()
	e := audittest.NewEvent("test.control.bad", correlationID)
	e.ID = audit.DerivedID(audittest.Epoch(), t.Name(), correlationID)
	e.Data, e.Sensitive = []byte(`{"secret":"hidden"}`), sensitive
	if err := b.store.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.FlushFor(t.Context(), correlationID); err == nil {
		t.Fatal("the event is stored")
	}
	return e.ID
}

func TestStateAndRejections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	theirs := b.reject(t, "theirs", false)
	b.reject(t, "ours", false)
	state, err := b.client.State(t.Context())
	if err != nil || state.RejectedEvents != 2 || state.PendingEvents != 0 || state.Spool == nil || state.Spool.MaxBytes != spool.DefaultMaxBytes {
		t.Errorf("state %+v, %v", state, err)
	}
	known, err := b.client.Rejections(t.Context(), "theirs")
	if err != nil || len(known.Rejected) != 1 || known.Rejected[0].ID != theirs || !strings.Contains(known.Rejected[0].Reason, "it is bad") {
		t.Errorf("rejections %+v, %v", known, err)
	}
	failure := &audit.FlushError{RejectedUnnamed: 2}
	if err := b.client.Name(t.Context(), failure, ""); err != nil || len(failure.Rejected) != 2 || failure.RejectedUnnamed != 0 {
		t.Errorf("named: %+v, %v", failure, err)
	}
}

func TestQuarantineInPagesAndWithContents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := make([]uuid.UUID, 0, 5)
	for i := range 5 {
		ids = append(ids, b.reject(t, fmt.Sprint("rr-", i), i == 0))
	}
	listed := make([]uuid.UUID, 0, 5)
	after := ""
	for range 3 {
		page := get[control.Quarantine](t, b, control.QuarantinePath+"?limit=2"+after)
		if page.Total != 5 {
			t.Errorf("total %d", page.Total)
		}
		for _, e := range page.Events {
			listed = append(listed, e.ID)
		}
		if page.After != nil {
			after = "&after=" + page.After.String()
		}
	}
	if fmt.Sprint(listed) != fmt.Sprint(ids) {
		t.Errorf("listed %v, want %v", listed, ids)
	}
	if all, err := b.client.Quarantine(t.Context()); err != nil || len(all.Events) != 5 {
		t.Errorf("all: %+v, %v", all, err)
	}

	q, err := b.client.Quarantined(t.Context(), ids[0], false)
	if err != nil || q.Event == nil || !q.Event.Redacted || q.Event.Data != nil {
		t.Errorf("a sensitive event: %+v, %v", q.Event, err)
	}
	if q, err = b.client.Quarantined(t.Context(), ids[0], true); err != nil || string(q.Event.Data) != `{"secret":"hidden"}` {
		t.Errorf("asked for: %+v, %v", q.Event, err)
	}
	if q, err = b.client.Quarantined(t.Context(), ids[1], false); err != nil || string(q.Event.Data) != `{"secret":"hidden"}` || q.Event.Category == "" {
		t.Errorf("another event: %+v, %v", q.Event, err)
	}
	var status *control.StatusError
	if _, err = b.client.Quarantined(t.Context(), uuid.New(), false); !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("an unknown event: %v", err)
	}
}

func TestRetrySendsRejectedEventsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.reject(t, "first", false)
	b.reject(t, "second", false)
	b.sink.Reject(nil)
	if retried, err := b.client.Retry(t.Context(), first, uuid.New()); err != nil || retried.Retried != 1 {
		t.Errorf("retried %+v, %v", retried, err)
	}
	if _, err := b.store.FlushFor(t.Context(), "first"); err != nil {
		t.Errorf("flush: %v", err)
	}
	if retried, err := b.client.Retry(t.Context()); err != nil || retried.Retried != 1 {
		t.Errorf("all: %+v, %v", retried, err)
	}
	if _, err := b.store.Flush(t.Context()); err != nil {
		t.Errorf("flush: %v", err)
	}
}

func TestOnlyARecordOfDataStorageSettlesEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	settled, other := b.reject(t, "settled", false), b.reject(t, "other", false)
	id := uuid.New()
	var status *control.StatusError
	if _, err := b.client.Acknowledge(t.Context(), id); !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("without a record: %v", err)
	}
	b.records.away = &audit.SinkError{Status: http.StatusServiceUnavailable}
	if _, err := b.client.Acknowledge(t.Context(), id); !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable {
		t.Errorf("while DataStorage is away: %v", err)
	}
	if _, err := b.store.FlushFor(t.Context(), "settled"); err == nil {
		t.Error("something was settled")
	}

	b.records.away = nil
	b.records.known[id] = &httpsink.Acknowledgement{ID: id, Recorder: "r", EventIDs: []uuid.UUID{settled, uuid.New()}, By: "jane"}
	for _, want := range []int{1, 0} {
		a, err := b.client.Acknowledge(t.Context(), id)
		if err != nil || a.Acknowledged != want || a.By != "jane" || a.ID != id {
			t.Errorf("acknowledged: %+v, %v, want %d", a, err, want)
		}
	}
	if _, err := b.store.FlushFor(t.Context(), "settled"); err != nil {
		t.Errorf("flush: %v", err)
	}
	if known, err := b.client.Rejections(t.Context(), ""); err != nil || len(known.Rejected) != 1 || known.Rejected[0].ID != other {
		t.Errorf("what is left: %+v, %v", known, err)
	}
}

// TestRequestsThatAWebPageCouldMakeAreRejected covers other host names, by which
// a page could reach the listener of the machine that shows it, and forms.
func TestRequestsThatAWebPageCouldMakeAreRejected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.reject(t, "theirs", false)
	for name, test := range map[string]struct {
		method, target, contentType, host, body string
		want                                    int
	}{
		"another host":     {http.MethodGet, control.StatePath, "", "attacker.example", "", http.StatusMisdirectedRequest},
		"a pod's address":  {http.MethodGet, control.StatePath, "", "10.0.0.7:9093", "", http.StatusMisdirectedRequest},
		"localhost":        {http.MethodGet, control.StatePath, "", "localhost:9093", "", http.StatusOK},
		"IPv6":             {http.MethodGet, control.StatePath, "", "[::1]:9093", "", http.StatusOK},
		"a form":           {http.MethodPost, control.RetryPath, "text/plain", "", "{}", http.StatusUnsupportedMediaType},
		"no content type":  {http.MethodPost, control.RetryPath, "", "", "{}", http.StatusUnsupportedMediaType},
		"a misspelling":    {http.MethodPost, control.RetryPath, "application/json", "", `{"event_id":"` + id.String() + `"}`, http.StatusBadRequest},
		"an unusable id":   {http.MethodPost, control.AcknowledgementsPath, "application/json", "", `{"id":"7"}`, http.StatusBadRequest},
		"no id":            {http.MethodPost, control.AcknowledgementsPath, "application/json", "", `{}`, http.StatusBadRequest},
		"too much":         {http.MethodPost, control.RetryPath, "application/json", "", strings.Repeat(" ", 1<<20+1), http.StatusRequestEntityTooLarge},
		"GET to retry":     {http.MethodGet, control.AcknowledgementsPath, "", "", "", http.StatusMethodNotAllowed},
		"a bad parameter":  {http.MethodGet, control.RejectionsPath + "?corelation_id=a", "", "", "", http.StatusBadRequest},
		"an empty one":     {http.MethodGet, control.RejectionsPath + "?correlation_id=", "", "", "", http.StatusBadRequest},
		"too large a page": {http.MethodGet, control.QuarantinePath + "?limit=1001", "", "", "", http.StatusBadRequest},
		"an unknown page":  {http.MethodGet, control.QuarantinePath + "?after=" + uuid.NewString(), "", "", "", http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), test.method, b.url+test.target, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.host != "" {
				request.Host = test.host
			}
			request.Header.Set("Content-Type", test.contentType)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != test.want {
				t.Errorf("status %d, want %d", response.StatusCode, test.want)
			}
		})
	}
}

func get[T any](t *testing.T, b *bundle, target string) T {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var document T
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", target, response.Status, err)
	}
	return document
}
