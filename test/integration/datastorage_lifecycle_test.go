//go:build integration

package integration_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/cli"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

// serveOnce runs a DataStorage that must fail to start.
func serveOnce(ctx context.Context, databaseURL string) error {
	GinkgoHelper()
	return serveWithin(ctx, databaseURL, 10*time.Second)
}

func serveWithin(ctx context.Context, databaseURL string, startup time.Duration) error {
	GinkgoHelper()
	a, err := datastorageapp.New(datastorageapp.Options{
		DatabaseURL: databaseURL, MaxConnections: 10, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0", StartupTimeout: startup,
	})
	Expect(err).NotTo(HaveOccurred())
	return a.Run(ctx)
}

func emptyDatabase(ctx context.Context) string {
	GinkgoHelper()
	database, err := env.NewEmptyDatabase(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(database.Drop(ctx)).To(Succeed()) })
	return database.URL
}

var _ = Describe("DataStorage schema", func() {
	It("is created by migrations, even by concurrent ones, after which none is pending", func(ctx SpecContext) {
		url := emptyDatabase(ctx)
		status, err := datastorageapp.ReadSchemaStatus(ctx, url)
		Expect(err).NotTo(HaveOccurred())
		Expect(status.Current).To(BeZero())
		Expect(status.Err).To(MatchError(ContainSubstring("datastorage migrate up")))

		const migrators = 3
		applied := make([]int, migrators)
		errs := make([]error, migrators)
		var group sync.WaitGroup
		for i := range migrators {
			group.Go(func() {
				done, err := auditdb.Migrate(ctx, url, time.Now())
				applied[i], errs[i] = len(done.Migrations), err
			})
		}
		group.Wait()
		Expect(errs).To(HaveEach(BeNil()))
		Expect(applied).To(ContainElement(BeNumerically(">", 0)))

		status, err = datastorageapp.ReadSchemaStatus(ctx, url)
		Expect(err).NotTo(HaveOccurred())
		Expect(status.Current).To(Equal(status.Wanted))
		Expect(status.Err).NotTo(HaveOccurred())
		again, err := auditdb.Migrate(ctx, url, time.Now())
		Expect(err).NotTo(HaveOccurred())
		Expect(again).To(Equal(datastorageapp.Migrated{}))
	}, SpecTimeout(specTimeout))

	It("must be current for a service to start", func(ctx SpecContext) {
		url := emptyDatabase(ctx)
		Expect(serveOnce(ctx, servingURL(url))).To(MatchError(ContainSubstring("the database has no schema: run `datastorage migrate up` first")))
		_, err := auditdb.Migrate(ctx, url, time.Now())
		Expect(err).NotTo(HaveOccurred())
		conn := connect(ctx, url)

		execute(ctx, conn, `INSERT INTO schema_migrations (version_id, is_applied) VALUES (99, true)`)
		Expect(serveOnce(ctx, servingURL(url))).To(MatchError(ContainSubstring("version 99")))
		_, err = auditdb.Migrate(ctx, url, time.Now())
		Expect(err).To(MatchError(ContainSubstring("as new as the one that migrated it")))

		execute(ctx, conn, `DELETE FROM schema_migrations WHERE version_id > 0`)
		Expect(serveOnce(ctx, servingURL(url))).To(MatchError(ContainSubstring("datastorage migrate up")))
	}, SpecTimeout(specTimeout))

	It("accepts events of any time, before and after their month has a partition", func(ctx SpecContext) {
		own := ownStore(ctx, nil)
		conn := connect(ctx, own.DatabaseURL())
		id := env.CorrelationID()
		// A month without a partition: its events are in the default partition.
		inAYear := anEvent(id, fields{"event_id": "01ae0000-0000-7000-8000-000000000001"})
		decoded[datastorage.EventCreated](storeJSON(ctx, own.URL, storeEvents, inAYear), http.StatusCreated)
		far := time.UnixMilli(0x01ae00000000)
		_, err := auditdb.Migrate(ctx, own.DatabaseURL(), far)
		Expect(err).NotTo(HaveOccurred())
		decoded[datastorage.EventCreated](storeJSON(ctx, own.URL, storeEvents, inAYear), http.StatusCreated)
		nextMonth := anEvent(id, fields{"event_id": "01aea000-0000-7000-8000-000000000001"})
		decoded[datastorage.EventCreated](storeJSON(ctx, own.URL, storeEvents, nextMonth), http.StatusCreated)
		Expect(idsOf(storedOf(ctx, own.URL, id))).To(ConsistOf(wireIDs(inAYear, nextMonth)))

		var ofDefault, partitions int
		Expect(conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM audit_events_default), count(DISTINCT tableoid) FROM audit_events`).
			Scan(&ofDefault, &partitions)).To(Succeed())
		Expect([]int{ofDefault, partitions}).To(Equal([]int{1, 2}))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("DataStorage start and stop", func() {
	It("names the address of an unreachable database, without the password", func(ctx SpecContext) {
		var listen net.ListenConfig
		closed, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		address := closed.Addr().String()
		Expect(closed.Close()).To(Succeed())
		err = serveWithin(ctx, "postgres://alice:secret@"+address+"/audit?sslmode=disable", time.Second)
		Expect(err).To(MatchError(And(
			ContainSubstring(`database "audit" on `+address+` as user "alice": unreachable`), ContainSubstring("check --database-url"))))
		Expect(err.Error()).NotTo(ContainSubstring("secret"))
		Expect(strings.Count(err.Error(), "\n")).To(BeZero(), err.Error())
	}, SpecTimeout(specTimeout))

	It("says which database does not exist", func(ctx SpecContext) {
		url := emptyDatabase(ctx)
		err := serveOnce(ctx, strings.Replace(url, "kubernaut_test_", "kubernaut_none_", 1))
		Expect(err).To(MatchError(And(ContainSubstring("refused"), ContainSubstring("3D000"))))
	}, SpecTimeout(specTimeout))

	It("rejects a pool that is larger than the server permits", func(ctx SpecContext) {
		_, err := env.NewDataStorage(ctx, func(o *datastorageapp.Options) { o.MaxConnections = 9999 })
		Expect(err).To(MatchError(ContainSubstring("--database-max-connections 9999 is more than the server allows")))
		var usage *cli.UsageError
		Expect(errors.As(err, &usage)).To(BeTrue())
	}, SpecTimeout(specTimeout))

	It("is ready while the database is, exports metrics, and flushes what it accepted", func(ctx SpecContext) {
		own := ownStore(ctx, nil)
		id := env.CorrelationID()
		token := storeSome(ctx, own.URL, someEvents(id, 3)...)
		flushed := storeCall(ctx, own.ManagementURL, http.MethodPost, "/audit/flush?correlation_id="+id, nil, nil)
		Expect(flushed.code).To(Equal(http.StatusOK))
		Expect(string(flushed.body)).To(And(ContainSubstring(`"barrier":3`), ContainSubstring(`"events":0`), ContainSubstring(`"consistency_token":"p1-`)))
		Expect(token).NotTo(BeEmpty())
		Expect(storeCall(ctx, own.ManagementURL, http.MethodGet, "/audit/flush", nil, nil).code).To(Equal(http.StatusMethodNotAllowed))
		metrics := string(storeCall(ctx, own.ManagementURL, http.MethodGet, "/metrics", nil, nil).body)
		Expect(metrics).To(ContainSubstring("\ndatastorage_ingest_events_total{result=\"created\"} 3\n"))
		Expect(metrics).To(MatchRegexp(`\nkubernaut_build_info{goversion="go[^"]+",revision="[^"]+",version="[^"]+"} 1\n`))

		Expect(storeCall(ctx, own.ManagementURL, http.MethodGet, "/readyz", nil, nil).code).To(Equal(http.StatusOK))
		execute(ctx, connect(ctx, own.DatabaseURL()), `INSERT INTO schema_migrations (version_id, is_applied) VALUES (99, true)`)
		Expect(storeCall(ctx, own.ManagementURL, http.MethodGet, "/readyz", nil, nil).code).To(Equal(http.StatusServiceUnavailable))
		decoded[datastorage.Problem](storeCall(ctx, own.URL, http.MethodGet, "/health/ready", nil, nil), http.StatusServiceUnavailable)
		Expect(storeCall(ctx, own.ManagementURL, http.MethodGet, "/healthz", nil, nil).code).To(Equal(http.StatusOK))
	}, SpecTimeout(specTimeout))

	It("answers 503 while the database is unreachable, and accepts the same events afterwards", func(ctx SpecContext) {
		own := ownStore(ctx, nil)
		id := env.CorrelationID()
		events := someEvents(id, 5)
		conn := connect(ctx, own.DatabaseURL())
		execute(ctx, conn, `ALTER TABLE audit_events RENAME TO away`)
		answer := storeJSON(ctx, own.URL, storeBatch, events)
		problem := decoded[datastorage.Problem](answer, http.StatusServiceUnavailable)
		Expect(problem.Detail).To(ContainSubstring("send the request again"))
		Expect(answer.header.Get("Retry-After")).To(Equal("1"))
		decoded[datastorage.Problem](storeFind(ctx, own.URL, "correlation_id", id), http.StatusServiceUnavailable)
		execute(ctx, conn, `ALTER TABLE away RENAME TO audit_events`)
		storeSome(ctx, own.URL, events...)
		Expect(idsOf(storedOf(ctx, own.URL, id))).To(ConsistOf(wireIDs(events...)))
	}, SpecTimeout(specTimeout))

	It("stops within its grace period although the database does not let it", func(ctx SpecContext) {
		const grace = 2 * time.Second
		database, err := env.NewDatabase(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(database.Drop(ctx)).To(Succeed()) })
		a, err := datastorageapp.New(datastorageapp.Options{
			DatabaseURL: servingURL(database.URL), MaxConnections: 10, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0", Grace: grace,
		})
		Expect(err).NotTo(HaveOccurred())
		running, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- a.Run(running) }()
		Eventually(ctx, a.Ready()).Should(BeClosed())

		// The lock outlives the service.
		tx, err := connect(ctx, database.URL).Begin(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(tx.Rollback(ctx)).To(Succeed()) })
		_, err = tx.Exec(ctx, `LOCK TABLE audit_events IN SHARE MODE`)
		Expect(err).NotTo(HaveOccurred())
		body := encode(anEvent(env.CorrelationID(), nil))
		answered := make(chan error, 1)
		go func() {
			_, err := tryStoreCall(ctx, a.APIURL(), http.MethodPost, storeEvents, headerOf(), body)
			answered <- err
		}()
		watcher := connect(ctx, database.URL)
		for waiting := 0; waiting == 0; {
			Expect(watcher.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_events'::regclass`).Scan(&waiting)).To(Succeed())
		}
		began := time.Now()
		stop()
		Expect(<-ended).To(MatchError(And(ContainSubstring("stop API: requests were still under way"), ContainSubstring("cut off"))))
		Expect(time.Since(began)).To(BeNumerically("<", grace))
		Expect(<-answered).To(HaveOccurred(), "the connection was closed without an answer")
	}, SpecTimeout(specTimeout))

	It("finishes the requests in progress when it is stopped", func(ctx SpecContext) {
		database, err := env.NewDatabase(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(database.Drop(ctx)).To(Succeed()) })
		a, err := datastorageapp.New(datastorageapp.Options{
			DatabaseURL: servingURL(database.URL), MaxConnections: 10, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0",
		})
		Expect(err).NotTo(HaveOccurred())
		running, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- a.Run(running) }()
		Eventually(ctx, a.Ready()).Should(BeClosed())

		conn := connect(ctx, database.URL)
		tx, err := conn.Begin(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = tx.Exec(ctx, `LOCK TABLE audit_events IN SHARE MODE`)
		Expect(err).NotTo(HaveOccurred())
		id := env.CorrelationID()
		answered := make(chan storeAnswer, 1)
		go func() {
			defer GinkgoRecover()
			answered <- storeJSON(ctx, a.APIURL(), storeEvents, anEvent(id, nil))
		}()
		// The queue of the lock shows that the request is in progress.
		watcher := connect(ctx, database.URL)
		for waiting := 0; waiting == 0; {
			Expect(watcher.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_events'::regclass`).Scan(&waiting)).To(Succeed())
		}
		stop()
		Expect(tx.Rollback(ctx)).To(Succeed())
		decoded[datastorage.EventCreated](<-answered, http.StatusCreated)
		Expect(<-ended).To(Succeed())
	}, SpecTimeout(specTimeout))
})
