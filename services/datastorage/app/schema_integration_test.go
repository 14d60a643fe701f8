//go:build integration

package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/internal/commitment"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/services/datastorage/internal/query"
	"kubernaut.ai/services/datastorage/schematest"
)

// maintainedDatabase tells a copy of this program that it is the maintenance that is to be killed.
const maintainedDatabase = "KUBERNAUT_TEST_MAINTAINED_DATABASE"

func TestMain(m *testing.M) {
	if database := os.Getenv(maintainedDatabase); database != "" {
		os.Exit(maintainUntilKilled(database))
	}
	code := m.Run()
	if databases.Load() > 0 {
		if running, err := server(); err == nil {
			_ = running.Stop(context.Background()) // a folder may stay
		}
	}
	os.Exit(code)
}

// maintainedAhead is how far its clock is ahead.
const maintainedAhead = "KUBERNAUT_TEST_MAINTAINED_AHEAD"

// maintainUntilKilled prints a line after each transaction.
func maintainUntilKilled(database string) int {
	var ahead time.Duration
	if text := os.Getenv(maintainedAhead); text != "" {
		var err error
		if ahead, err = time.ParseDuration(text); err != nil {
			_, _ = fmt.Fprintln(os.Stdout, "failed:", err)
			return 1
		}
	}
	maintainer, err := app.NewMaintainer(app.MaintainOptions{DatabaseURL: database, Slice: 40, Clock: clocktesting.NewFakeClock(time.Now().Add(ahead)), Between: func() error {
		_, err := fmt.Fprintln(os.Stdout, "slice")
		return err
	}})
	if err == nil {
		_, err = maintainer.Once(context.Background())
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, "failed:", err)
		return 1
	}
	_, _ = fmt.Fprintln(os.Stdout, "done")
	return 0
}

// server is the PostgreSQL of all tests here, each of which has a database.
var server = sync.OnceValues(func() (*postgres.Server, error) {
	return postgres.StartPrivate(context.Background(), postgres.Options{})
})

var databases atomic.Int64

// newDatabase is empty.
func newDatabase(t *testing.T) (database string) {
	t.Helper()
	running, err := server()
	if err != nil {
		t.Fatal(err)
	}
	database, err = running.CreateDatabase(t.Context(), fmt.Sprintf("trail%d", databases.Add(1)), "")
	if err != nil {
		t.Fatal(err)
	}
	return database
}

func connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%.200s: %v", statement, err)
		}
	}
}

// load makes the database of a program of schema version 1.
func load(t *testing.T, database string) {
	t.Helper()
	conn := connect(t, database)
	if _, err := conn.PgConn().Exec(t.Context(), schematest.Version1).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func as(t *testing.T, database, role string) string {
	t.Helper()
	connection, err := postgres.As(database, role)
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

// deployedRoles are the roles of a deployment.
func deployedRoles() app.Roles {
	return app.Roles{Owner: postgres.OwnerRole, Serving: postgres.ServingRole}
}

func migrate(t *testing.T, database string, roles app.Roles) {
	t.Helper()
	if _, err := app.Migrate(t.Context(), database, roles, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, database string) *app.App {
	t.Helper()
	a, err := app.New(app.Options{DatabaseURL: database, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0"})
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

func post(t *testing.T, a *app.App, id uuid.UUID) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"event_id": id, "version": "1.0", "event_type": "shop.order.paid", "event_timestamp": time.Now().UTC(), "event_category": "shop",
		"event_action": "pay", "event_outcome": "success", "correlation_id": uuid.NewString(), "event_data": map[string]any{"price": 1.50},
	})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.APIURL()+"/api/v1/audit/events", bytes.NewReader(body))
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
		t.Fatalf("an event is answered %s", answer.Status)
	}
}

// insertOfVersion1 is the statement of a program of schema version 1, for one event.
//
//nolint:unqueryvet // as that program sends it
const insertOfVersion1 = `INSERT INTO audit_events (
	id_time, event_id, version, event_type, event_timestamp, event_category, event_action, event_outcome,
	correlation_id, event_data, actor_type, actor_id, actor_ip, resource_type, resource_id, namespace, cluster_id,
	severity, duration_us, error_code, error_message, parent_event_id, retention_days, is_sensitive,
	producer_id, producer_epoch, producer_seq, content_digest, recorded_by, received_at)
SELECT row.*, now() FROM unnest(
	$1::timestamptz[], $2::uuid[], '{1.0}'::text[], '{a.b}'::text[], $1::timestamptz[], '{a}'::text[], '{b}'::text[], '{success}'::text[],
	'{c}'::text[], $3::jsonb[], '{NULL}'::text[], '{x}'::text[], '{NULL}'::text[], '{NULL}'::text[], '{NULL}'::text[], '{NULL}'::text[], '{NULL}'::text[],
	'{NULL}'::text[], '{NULL}'::bigint[], '{NULL}'::text[], '{NULL}'::text[], '{NULL}'::uuid[], '{30}'::integer[], '{false}'::boolean[],
	'{NULL}'::text[], '{NULL}'::bigint[], '{NULL}'::bigint[], '{abc}'::bytea[], '{NULL}'::text[]) AS row
ON CONFLICT DO NOTHING
RETURNING event_id`

// insertAsVersion1 stores an event whose id has a time.
func insertAsVersion1(ctx context.Context, conn *pgx.Conn, at time.Time) (uuid.UUID, error) {
	at = at.UTC().Truncate(time.Millisecond)
	id := wire.NewID(at, rand.Uint64())
	var stored uuid.UUID
	err := conn.QueryRow(ctx, insertOfVersion1, []time.Time{at}, []uuid.UUID{id}, []string{`{"n": 1.50e3, "t": "a\nb"}`}).Scan(&stored)
	return id, err
}

// counts are what a database has.
type counts struct{ Events, IDs, Complete, Batched, Counted int64 }

func countsOf(t *testing.T, conn *pgx.Conn) (c counts) {
	t.Helper()
	const query = `SELECT count(*), count(DISTINCT event_id), count(*) FILTER (WHERE commitment IS NOT NULL AND batch_id IS NOT NULL),
		(SELECT coalesce(sum(events), 0)::bigint FROM audit_batches), (SELECT coalesce(sum(events), 0)::bigint FROM audit_rollup) FROM audit_events`
	if err := conn.QueryRow(t.Context(), query).Scan(&c.Events, &c.IDs, &c.Complete, &c.Batched, &c.Counted); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantComplete(t *testing.T, conn *pgx.Conn, events int64) {
	t.Helper()
	if got, want := countsOf(t, conn), (counts{events, events, events, events, events}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	verifyCommitments(t, conn)
}

// verifyCommitments makes the commitment of each event from its row, and compares
// it with the row's and with that at its place in its batch.
func verifyCommitments(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT `+query.Columns+`, commitment, salts, erased_parts,
		(SELECT substring(commitments FROM batch_position * 32 + 1 FOR 32) FROM audit_batches AS b WHERE b.batch_id = e.batch_id) FROM audit_events AS e`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	verified := 0
	for rows.Next() {
		var committed, salts, erased, numbered []byte
		stored, err := query.ScanWith(rows, &committed, &salts, &erased, &numbered)
		if err != nil {
			t.Fatal(err)
		}
		copy(stored.Salts[:], salts)
		if stored.ErasedAt == nil {
			if stored.Data, err = wire.CanonicalData(stored.Data, stored.Type, wire.MaxDataBytes); err != nil {
				t.Fatal(err)
			}
		} else if len(salts) != commitment.SaltBytes || stored.Data != nil {
			t.Errorf("event %s keeps salts or data that were to be erased", stored.ID)
		}
		parts := stored.Parts()
		if stored.ErasedAt != nil {
			parts.Subject, parts.Data = commitment.Sum(erased[:32]), commitment.Sum(erased[32:])
		}
		sum := parts.Commitment()
		if !bytes.Equal(sum[:], committed) || !bytes.Equal(committed, numbered) {
			t.Errorf("event %s: commitment %x, in its row %x, in its batch %x", stored.ID, sum, committed, numbered)
		}
		verified++
	}
	if err := rows.Err(); err != nil || verified == 0 {
		t.Fatalf("%d events verified: %v", verified, err)
	}
}

func maintain(t *testing.T, database string, slice int) app.Maintained {
	t.Helper()
	maintainer, err := app.NewMaintainer(app.MaintainOptions{DatabaseURL: database, Slice: slice})
	if err != nil {
		t.Fatal(err)
	}
	done, err := maintainer.Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestADatabaseIsUpgradedWhileProgramsOfBothVersionsServe(t *testing.T) {
	database := newDatabase(t)
	load(t, database)
	const loaded = 20
	old := connect(t, database)
	stop, ended := make(chan struct{}), make(chan error, 1)
	stored := int64(0)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			var version int64
			err := old.QueryRow(t.Context(), `SELECT coalesce(max(version_id), 0) FROM schema_version WHERE is_applied`).Scan(&version)
			if err == nil && version != 1 {
				err = fmt.Errorf("it is not ready: the version is %d", version)
			}
			if err == nil {
				_, err = insertAsVersion1(t.Context(), old, time.Now())
			}
			if err != nil {
				ended <- err
				return
			}
			stored++
		}
	}()
	migrate(t, database, app.Roles{})
	a := serve(t, database)
	const posted = 10
	for range posted {
		post(t, a, uuid.Must(uuid.NewV7()))
	}
	maintain(t, database, 50)
	close(stop)
	if err := <-ended; err != nil {
		t.Fatalf("a program of version 1: %v", err)
	}
	maintain(t, database, 50)
	wantComplete(t, connect(t, database), loaded+posted+stored)
	t.Logf("%d events were stored by a program of version 1 meanwhile", stored)
}

func TestMaintenanceThatIsKilledIsTakenUp(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	const events = 400
	for i := range events {
		// Half of them are strays of a month long ago.
		at := time.Now()
		if i%2 == 0 {
			at = time.Date(2019, time.March, 4, 0, 0, i, 0, time.UTC)
		}
		if _, err := insertAsVersion1(t.Context(), conn, at); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for after := 1; ; after++ {
		last := killAfter(t, program, database, after)
		if c := countsOf(t, conn); c.Events != events || c.IDs != events {
			t.Fatalf("killed after %d slices: %+v", after, c)
		}
		if last == "done" {
			break
		}
		killed++
		// As if the time of the lease had passed.
		execute(t, conn, `UPDATE audit_leases SET expires_at = '-infinity'`)
	}
	if killed == 0 {
		t.Error("nothing was killed")
	}
	maintain(t, database, 40)
	wantComplete(t, conn, events)
	var partition int64
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM audit_events_y2019m03`).Scan(&partition); err != nil || partition != events/2 {
		t.Errorf("the partition of the strays has %d events: %v", partition, err)
	}
}

func TestOneMaintenanceWorksAtOnce(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	if _, err := insertAsVersion1(t.Context(), conn, time.Now()); err != nil {
		t.Fatal(err)
	}
	var second error
	var maintainers [2]*app.Maintainer
	for i := range maintainers {
		between := func() error { return nil }
		if i == 0 {
			between = func() error {
				if second == nil {
					_, second = maintainers[1].Once(t.Context())
				}
				return nil
			}
		}
		var err error
		if maintainers[i], err = app.NewMaintainer(app.MaintainOptions{DatabaseURL: database, Between: between}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := maintainers[0].Once(t.Context()); err != nil || !errors.Is(second, app.ErrMaintenanceBusy) {
		t.Errorf("first run: %v, second run: %v", err, second)
	}
	wantComplete(t, conn, 1)
}

func TestTheServingRoleAppendsAndChangesNothing(t *testing.T) {
	database := newDatabase(t)
	admin := connect(t, database)
	migrate(t, as(t, database, postgres.MigrationRole), deployedRoles())
	migrate(t, as(t, database, postgres.MigrationRole), deployedRoles()) // the tables are another role's by then
	a := serve(t, as(t, database, postgres.ServingRole))
	post(t, a, uuid.Must(uuid.NewV7()))
	serving := connect(t, as(t, database, postgres.ServingRole))
	for _, statement := range []string{
		`UPDATE audit_events SET severity = 'low'`, `DELETE FROM audit_events`, `TRUNCATE audit_events`, `DROP TABLE audit_events`,
		`ALTER TABLE audit_events DISABLE TRIGGER ALL`, `SET session_replication_role = replica`, `CREATE TABLE mine ()`,
		`UPDATE audit_batches SET events = 1`, `DELETE FROM audit_holds`, `DELETE FROM audit_leaf_ranges`,
		`INSERT INTO audit_erasures DEFAULT VALUES`, `UPDATE schema_migrations SET version_id = 1`, `SET ROLE ` + postgres.OwnerRole,
	} {
		var refused *pgconn.PgError
		if _, err := serving.Exec(t.Context(), statement); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v, want insufficient privilege", statement, err)
		}
	}
	execute(t, serving, `UPDATE audit_locks SET taken_at = now()`, `SELECT nextval('audit_batch_ids')`)

	// A right that somebody grants by hand meets the trigger.
	execute(t, admin, `GRANT UPDATE, DELETE, TRUNCATE ON audit_events TO `+postgres.ServingRole)
	for _, statement := range []string{`UPDATE audit_events SET severity = 'low'`, `DELETE FROM audit_events`, `TRUNCATE audit_events`} {
		if _, err := serving.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v, want a refusal of the trigger", statement, err)
		}
	}
	maintain(t, as(t, database, postgres.MigrationRole), 40)
	var owners []string
	if err := admin.QueryRow(t.Context(), `SELECT array_agg(DISTINCT relowner::regrole::text) FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relname ~ '^(audit|schema)_'`).Scan(&owners); err != nil || !slices.Equal(owners, []string{postgres.OwnerRole}) {
		t.Errorf("owners %v: %v", owners, err)
	}

	_, err := app.Migrate(t.Context(), database, app.Roles{Owner: postgres.OwnerRole, Serving: postgres.MigrationRole}, time.Now())
	if err == nil || !strings.Contains(err.Error(), "member of the owner") {
		t.Errorf("a member of the owner is to serve: %v", err)
	}
}

// Every replica migrates when it starts, and several start at once.
func TestMigrationsAtOnceApplyTheRoles(t *testing.T) {
	database := newDatabase(t)
	const replicas, starts = 4, 3
	failed := make(chan error, replicas)
	for range replicas {
		go func() {
			errs := make([]error, 0, starts)
			for range starts {
				_, err := app.Migrate(t.Context(), as(t, database, postgres.MigrationRole), deployedRoles(), time.Now())
				errs = append(errs, err)
			}
			failed <- errors.Join(errs...)
		}()
	}
	for range replicas {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	post(t, serve(t, as(t, database, postgres.ServingRole)), uuid.Must(uuid.NewV7()))
}

// The commitment covers what PostgreSQL gives back, which is not what was sent.
func TestDataHasItsCanonicalFormAfterPostgreSQLHadIt(t *testing.T) {
	conn := connect(t, newDatabase(t))
	const cases = 3000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var sent, canonical []string
	for len(sent) < cases {
		text := randomObject(random, 0)
		form, err := wire.CanonicalData([]byte(text), "", wire.MaxDataBytes)
		if err != nil {
			continue // DataStorage refuses it: for instance the same name twice
		}
		sent, canonical = append(sent, text), append(canonical, string(form))
	}
	rows, err := conn.Query(t.Context(), `SELECT s.text::jsonb::text, c.text::jsonb::text
		FROM unnest($1::text[]) WITH ORDINALITY AS s (text, n) JOIN unnest($2::text[]) WITH ORDINALITY AS c (text, n) USING (n) ORDER BY n`, sent, canonical)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var ofSent, ofCanonical string
		if err := rows.Scan(&ofSent, &ofCanonical); err != nil {
			t.Fatal(err)
		}
		for _, back := range []string{ofSent, ofCanonical} {
			if form, err := wire.CanonicalData([]byte(back), "", wire.MaxDataBytes); err != nil || string(form) != canonical[n] {
				t.Fatalf("sent %s, canonical %s, PostgreSQL gives %s, canonical %s: %v", sent[n], canonical[n], back, form, err)
			}
		}
	}
	if err := rows.Err(); err != nil || n != cases {
		t.Fatalf("%d of %d: %v", n, cases, err)
	}
}

// randomObject is the text of a JSON object, with what makes texts differ that mean the same.
func randomObject(r *rand.Rand, depth int) string {
	var b strings.Builder
	space := func() { b.WriteString([]string{"", "", " ", "\n\t"}[r.IntN(4)]) }
	b.WriteByte('{')
	for i := range r.IntN(5) {
		if i > 0 {
			b.WriteByte(',')
		}
		space()
		b.WriteString(randomString(r))
		space()
		b.WriteByte(':')
		space()
		b.WriteString(randomValue(r, depth))
		space()
	}
	b.WriteByte('}')
	return b.String()
}

func randomValue(r *rand.Rand, depth int) string {
	kinds := 6
	if depth > 3 {
		kinds = 4
	}
	switch r.IntN(kinds) {
	case 0:
		return randomString(r)
	case 1, 2:
		numbers := []string{"0", "-0", "-0.0", "0e5", "1E+2", "1.50", "100e-2", "1e300", "1e-300", "123456789012345678901234567890.0100", "5e-324", "-1.7e308", "0.1e1"}
		if r.IntN(2) == 0 {
			return numbers[r.IntN(len(numbers))]
		}
		return fmt.Sprintf("%d.%de%d", r.Int64N(1<<40)-1<<39, r.IntN(1000), r.IntN(60)-30)
	case 3:
		return []string{"true", "false", "null"}[r.IntN(3)]
	case 4:
		return "[" + randomValue(r, depth+1) + " , " + randomValue(r, depth+1) + "]"
	default:
		return randomObject(r, depth+1)
	}
}

func randomString(r *rand.Rand) string {
	pieces := []string{"a", "B", "zz", `\u0061`, `\/`, `/`, `\"`, `\\`, `\n`, `\u000a`, `\u001f`, `\u007f`, "é", `\u00e9`, "😀", `\ud83d\ude00`, "\u2028", `\b`, " ", "e\u0301"}
	var b strings.Builder
	b.WriteByte('"')
	for range r.IntN(5) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	b.WriteByte('"')
	return b.String()
}
