//go:build integration

package app_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/services/datastorage/internal/query"
)

// storeOfProducer stores events of one producer in one epoch, over some months, which a recorder sent from a time on.
func storeOfProducer(t *testing.T, conn *pgx.Conn, producer, recorder string, since time.Time, events int) {
	t.Helper()
	const insert = `INSERT INTO audit_events (id_time, event_id, version, event_type, event_timestamp, event_category, event_action, event_outcome,
			correlation_id, event_data, retention_days, is_sensitive, content_digest, received_at, recorded_by, producer_id, producer_epoch, producer_seq)
		SELECT received, gen_random_uuid(), '1.0', 'shop.order.paid', received, 'shop', 'pay', 'success', $1::text, '{}', 30, false, '\x00',
			received, $2::text, $1::text, 1, n
		FROM (SELECT n, $3::timestamptz + n * interval '5 minutes' AS received FROM generate_series(1, $4::integer) AS n) AS made`
	if _, err := conn.Exec(t.Context(), insert, producer, recorder, since, events); err != nil {
		t.Fatal(err)
	}
}

// blocksRead is how many blocks a statement looks at.
func blocksRead(t *testing.T, conn *pgx.Conn, statement string, args ...any) int {
	t.Helper()
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := conn.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+statement, args...).Scan(&plans); err != nil {
		t.Fatal(err)
	}
	return plans[0].Plan.Hit + plans[0].Plan.Read
}

func TestTheFirstRecorderOfAProducerIsFoundByAFewBlocks(t *testing.T) {
	database := newDatabase(t)
	load(t, database) // the index of a table with events is built by partition
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	begin := time.Now().AddDate(0, 0, -60)
	const events = 20_000
	storeOfProducer(t, conn, "till-0", "shop", begin, events)
	storeOfProducer(t, conn, "till-0", "intruder", begin.Add(time.Hour), events)
	execute(t, conn, `ANALYZE audit_events`)
	var partitions int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_events'::regclass`).Scan(&partitions); err != nil {
		t.Fatal(err)
	}
	const perPartition = 5
	for _, producer := range []string{"till-0", "till-1"} {
		if blocks := blocksRead(t, conn, query.FirstRecorder, producer); blocks > perPartition*partitions {
			t.Errorf("%s: %d blocks of %d partitions were read", producer, blocks, partitions)
		}
	}

	tokens := filepath.Join(t.TempDir(), "tokens")
	line := func(name string) string {
		sum := sha256.Sum256([]byte("of-" + name))
		return name + " " + hex.EncodeToString(sum[:]) + " rights=write types=shop\n"
	}
	if err := os.WriteFile(tokens, []byte(line("shop")+line("intruder")), 0o600); err != nil {
		t.Fatal(err)
	}
	a := serveWith(t, app.Options{DatabaseURL: database, Auth: auth.Flags{Mode: auth.ModeTokenFile, File: tokens}})
	for _, test := range []struct {
		recorder, producer string
		want               int
	}{
		{"intruder", "till-0", http.StatusForbidden},
		{"shop", "till-0", http.StatusCreated},
		{"intruder", "till-1", http.StatusCreated},
		{"shop", "till-1", http.StatusForbidden},
	} {
		if got := sendAbout(t, a, test.recorder, test.producer); got != test.want {
			t.Errorf("%s about %s: %d, want %d", test.recorder, test.producer, got, test.want)
		}
	}
}

// sendAbout sends an event about a producer, and returns the status of the answer.
func sendAbout(t *testing.T, a *app.App, recorder, producer string) int {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"version": "1.0", "event_type": "audit.epoch.opened", "event_timestamp": time.Now().UTC(), "event_category": "audit", "event_action": "open",
		"event_outcome": "success", "correlation_id": uuid.NewString(), "event_data": map[string]any{},
		"producer_id": producer, "producer_epoch": 2, "producer_seq": 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.APIURL()+eventsPath, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer of-"+recorder)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
