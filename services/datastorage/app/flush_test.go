package app //nolint:testpackage // the handler is an inner part

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/flushhttp"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/ingest"
)

func askFlush(ctx context.Context, t *testing.T, w *ingest.Writer, query string) (status int, body map[string]any) {
	t.Helper()
	recorder := httptest.NewRecorder()
	store, _, _ := audittest.NewStore(t)
	accesses := accesslog.New(accesslog.Options{Recorder: store, Clock: clock.RealClock{}, Log: zap.NewNop()})
	flushhttp.Handler(flusher{w, accesses, store}).ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodPost, "/audit/flush"+query, http.NoBody))
	if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil {
		t.Fatalf("answer %q: %v", recorder.Body, err)
	}
	return recorder.Code, body
}

func TestFlushSaysWhatIsStillOwed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		writer, err := ingest.New(nil, ingest.Options{}) // it does not run: what it admits stays owed
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for i := range byte(3) {
			batch := event.Batch{Events: []*event.Event{{ID: uuid.UUID{15: i + 1}}}}
			go func() { _, _ = writer.Store(ctx, ingest.Request{Batch: batch}) }()
		}
		synctest.Wait()
		status, body := askFlush(t.Context(), t, writer, "?timeout=1s")
		if status != http.StatusGatewayTimeout || body["pending"] != 3.0 || body["events"] != 3.0 || body["barrier"] != 3.0 ||
			body["detail"] != "3 of 3 events are still pending; the sink has not responded yet" {
			t.Errorf("answered %d %v", status, body)
		}
		cancel()
	})
}

func TestFlushSaysWhenTheDatabaseDoesNotAnswer(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	writer, err := ingest.New(pool, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is owed: that the time is over is the database's doing.
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if status, body := askFlush(over, t, writer, ""); status != http.StatusServiceUnavailable {
		t.Errorf("answered %d %v, want 503", status, body)
	}
}

func TestFlushRefusesAQueryThatIsNotReadable(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"?timeout=%zz", "?correlation_id=a;b"} {
		if status, body := askFlush(t.Context(), t, nil, query); status != http.StatusBadRequest {
			t.Errorf("%s: answered %d %v, want 400", query, status, body)
		}
	}
}
