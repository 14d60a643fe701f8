//go:build integration

package integration_test

import (
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/devstack/postgres"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
	"kubernaut.ai/test/testenv"
)

// endOfCopy is the trailer of binary COPY data, and the message that ends the COPY.
const endOfCopy = "\xff\xffc\x00\x00\x00\x04"

var _ = Describe("The server's own limits", func() {
	It("field C8: a client that vanishes inside a transaction leaves no lock", func(ctx SpecContext) {
		server := ownPostgres(ctx)
		address := newForwarder(ctx, server)
		store := storeOn(ctx, postgres.AtSockets(server, trailDatabase, address.folder), nil)
		other := storeOn(ctx, trailURL(server), nil)
		event := anEvent(env.CorrelationID(), nil)
		address.swallowFrom(endOfCopy)
		go func() {
			_, _ = tryStoreCall(ctx, store.APIURL(), http.MethodPost, storeEvents, headerOf(), encode(event))
		}()
		Eventually(ctx, address.swallowed).Should(BeClosed())

		// Another replica stores the same event, beside the transaction that does not end.
		began := time.Now()
		decoded[datastorage.EventCreated](storeJSON(ctx, other.APIURL(), storeEvents, event), http.StatusCreated)
		Expect(time.Since(began)).To(BeNumerically("<", 9*time.Second), "before a wait for a lock would end")
		address.cut()
	}, SpecTimeout(specTimeout))

	It("field C8: a client that vanishes in the middle of a COPY leaves no lock", func(ctx SpecContext) {
		const events, behind = 3000, 2500 // PostgreSQL inserts copied rows by the thousand
		server := ownPostgres(ctx)
		address := newForwarder(ctx, server)
		store := storeOn(ctx, postgres.AtSockets(server, trailDatabase, address.folder), nil)
		other := storeOn(ctx, trailURL(server), nil)
		id, marker := env.CorrelationID(), testenv.Unique("vanish-*")
		all := someEvents(id, events)
		for _, e := range all[behind:] {
			e["actor_id"] = marker
		}
		address.swallowFrom(marker)
		vanished := make(chan error, 1)
		go func() {
			_, err := tryStoreCall(ctx, store.APIURL(), http.MethodPost, storeBatch, headerOf(), encode(all))
			vanished <- err
		}()
		Eventually(ctx, address.swallowed).Should(BeClosed())

		// Another replica stores the same events, although nobody ends the connection.
		stored := decoded[datastorage.BatchCreated](storeJSON(ctx, other.APIURL(), storeBatch, all), http.StatusCreated)
		Expect(stored.Created).To(Equal(events))
		Expect(store.logs.FilterMessageSnippet("client had vanished").Len() + other.logs.FilterMessageSnippet("client had vanished").Len()).To(Equal(1))
		address.cut()
		Expect(<-vanished).NotTo(HaveOccurred())
		var rows, distinct int
		Expect(connect(ctx, trailURL(server)).QueryRow(ctx, `SELECT count(*), count(DISTINCT event_id) FROM audit_events WHERE correlation_id = $1`, id).
			Scan(&rows, &distinct)).To(Succeed())
		Expect([]int{rows, distinct}).To(HaveEach(events))
	}, SpecTimeout(specTimeout))

	It("field C8: the server stops a query at --query-timeout", func(ctx SpecContext) {
		const limit = 700 * time.Millisecond
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.QueryTimeout = limit })
		lock, err := connect(ctx, own.DatabaseURL()).Begin(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = lock.Exec(ctx, `LOCK TABLE audit_events_untimed IN ACCESS EXCLUSIVE MODE`)
		Expect(err).NotTo(HaveOccurred())
		watcher := connect(ctx, own.DatabaseURL())
		for _, filter := range [][]string{{"severity", "low"}, {"correlation_id", env.CorrelationID()}} {
			problem := decoded[datastorage.Problem](storeFind(ctx, own.URL, filter...), http.StatusServiceUnavailable)
			Expect(problem.Detail).To(ContainSubstring("in time"))
			for lockWaits(ctx, watcher, "audit_events_untimed") > 0 {
				Expect(ctx.Err()).NotTo(HaveOccurred())
			}
		}
		Expect(lock.Rollback(ctx)).To(Succeed())
	}, SpecTimeout(specTimeout))

	It("field C8: making a partition does not stop queries and writes while the default partition is searched", func(ctx SpecContext) {
		server := ownPostgres(ctx)
		url := trailURL(server)
		own := storeOn(ctx, url, nil)
		watcher := connect(ctx, url)
		far := time.Now().AddDate(2, 0, 0)
		stray := anEvent(env.CorrelationID(), fields{"event_id": idAt(far).String()})
		storeSome(ctx, own.APIURL(), stray)
		// Whether each statement stops everybody, and how often the default partition was searched until then.
		execute(ctx, watcher, `CREATE TABLE ddl (id bigserial, statement text, stops boolean, searched bigint)`)
		execute(ctx, watcher, `CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
			INSERT INTO ddl (statement, stops, searched) SELECT current_query(), EXISTS (SELECT 1 FROM pg_locks
				WHERE pid = pg_backend_pid() AND relation = 'audit_events_default'::regclass AND mode = 'AccessExclusiveLock'),
				(SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'audit_events_default'); END $$`)
		execute(ctx, watcher, `CREATE EVENT TRIGGER note ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION note_ddl()`)
		later := time.Now().AddDate(1, 0, 0)
		_, err := auditdb.Migrate(ctx, url, later)
		Expect(err).NotTo(HaveOccurred())
		Expect(constraints(ctx, watcher)).To(BeEmpty())
		var stopped, searches int
		Expect(watcher.QueryRow(ctx, `SELECT count(*) FILTER (WHERE stops), count(*)
			FROM (SELECT stops, searched > lag(searched, 1, 0::bigint) OVER (ORDER BY id) AS searches FROM ddl) AS d WHERE searches`).
			Scan(&stopped, &searches)).To(Succeed())
		Expect(searches).To(BeNumerically(">", 0))
		Expect(stopped).To(BeZero(), "searches under a lock that stops everybody")
		storeSome(ctx, own.APIURL(), stray, anEvent(env.CorrelationID(), fields{"event_id": idAt(later).String()}))

		By("leaving a month alone whose events are there already")
		_, err = auditdb.Migrate(ctx, url, far)
		Expect(err).NotTo(HaveOccurred())
		Expect(constraints(ctx, watcher)).To(BeEmpty())

		By("taking up what a process left that died in between")
		next := far.AddDate(1, 0, 0)
		month := time.Date(next.UTC().Year(), next.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
		execute(ctx, watcher, `ALTER TABLE audit_events_default ADD CONSTRAINT audit_events_default_room_`+month.Format("y2006m01")+
			` CHECK (NOT (id_time IS NOT NULL AND id_time >= '`+month.Format(time.RFC3339)+`' AND id_time < '`+month.AddDate(0, 1, 0).Format(time.RFC3339)+`')) NOT VALID`)
		arriving := anEvent(env.CorrelationID(), fields{"event_id": idAt(next).String()})
		decoded[datastorage.Problem](storeJSON(ctx, own.APIURL(), storeEvents, arriving), http.StatusServiceUnavailable)
		_, err = auditdb.Migrate(ctx, url, next)
		Expect(err).NotTo(HaveOccurred())
		Expect(constraints(ctx, watcher)).To(BeEmpty())
		storeSome(ctx, own.APIURL(), arriving)
	}, SpecTimeout(specTimeout))
})

// constraints are the ones that make room in the default partition.
func constraints(ctx SpecContext, conn *pgx.Conn) []string {
	GinkgoHelper()
	rows, err := conn.Query(ctx, `SELECT conname::text FROM pg_constraint WHERE conrelid = 'audit_events_default'::regclass AND contype = 'c'`)
	Expect(err).NotTo(HaveOccurred())
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	Expect(err).NotTo(HaveOccurred())
	return names
}

// idAt is an event's id of a time.
func idAt(at time.Time) uuid.UUID {
	id := newEventID()
	millis := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	return id
}
