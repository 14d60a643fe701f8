//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/test/auditdb"
)

// noteDurability makes a database keep the durability of each transaction that
// inserts events.
func noteDurability(ctx context.Context, databaseURL string) {
	GinkgoHelper()
	conn := connect(ctx, databaseURL)
	for _, statement := range []string{
		`CREATE TABLE durability (setting text)`,
		`CREATE FUNCTION note_durability() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
			$$ BEGIN INSERT INTO durability VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`,
		`CREATE TRIGGER note AFTER INSERT ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION note_durability()`,
	} {
		execute(ctx, conn, statement)
	}
}

func durabilities(ctx context.Context, databaseURL string) map[string]int {
	GinkgoHelper()
	rows, err := connect(ctx, databaseURL).Query(ctx, `SELECT setting, count(*) FROM durability GROUP BY 1`)
	Expect(err).NotTo(HaveOccurred())
	counts := map[string]int{}
	for rows.Next() {
		var setting string
		var n int
		Expect(rows.Scan(&setting, &n)).To(Succeed())
		counts[setting] = n
	}
	Expect(rows.Err()).NotTo(HaveOccurred())
	return counts
}

func ownPooler(ctx context.Context, server *postgres.Server, connections int) *postgres.Pooler {
	GinkgoHelper()
	pooler, err := postgres.StartPooler(ctx, server, connections)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(pooler.Stop(ctx)).To(Succeed()) })
	return pooler
}

var _ = Describe("A connection pooler in transaction mode", func() {
	It("field C6: every transaction sets its own durability, and writes, queries and migrations work", func(ctx SpecContext) {
		const clients, batches, size = 8, 10, 3
		server, err := postgres.StartPrivate(ctx, postgres.Options{})
		Expect(err).NotTo(HaveOccurred())
		stopAtEnd(server)
		_, err = server.CreateDatabase(ctx, trailDatabase, "")
		Expect(err).NotTo(HaveOccurred())
		pooler := ownPooler(ctx, server, 3)
		url := pooler.URL(trailDatabase)
		for range 2 { // the second one has its statements prepared on other connections
			_, err = auditdb.Migrate(ctx, url, time.Now())
			Expect(err).NotTo(HaveOccurred())
		}
		noteDurability(ctx, trailURL(server))
		execute(ctx, connect(ctx, trailURL(server)), `ALTER DATABASE `+trailDatabase+` SET synchronous_commit = off`)
		Expect(pooler.Kill(ctx)).To(Succeed()) // its connections have the old setting
		Expect(pooler.Start(ctx)).To(Succeed())

		store := storeOn(ctx, url, nil)
		ids := make([]string, clients)
		var group sync.WaitGroup
		for i := range clients {
			ids[i] = env.CorrelationID()
			group.Go(func() {
				defer GinkgoRecover()
				for range batches {
					token := storeSome(ctx, store.APIURL(), someEvents(ids[i], size)...)
					decoded[datastorage.EventPage](storeFind(ctx, store.APIURL(), "correlation_id", ids[i], "at_least", token), http.StatusOK)
				}
			})
		}
		group.Wait()
		for _, id := range ids {
			Expect(storedOf(ctx, store.APIURL(), id)).To(HaveLen(batches * size))
		}
		counts := durabilities(ctx, trailURL(server))
		Expect(counts).To(And(HaveLen(1), HaveKeyWithValue("on", BeNumerically(">=", batches))))

		By("leaving a higher durability alone")
		execute(ctx, connect(ctx, trailURL(server)), `ALTER DATABASE `+trailDatabase+` SET synchronous_commit = remote_apply`)
		Expect(pooler.Kill(ctx)).To(Succeed())
		Expect(pooler.Start(ctx)).To(Succeed())
		events := someEvents(env.CorrelationID(), size)
		answer := storeJSON(ctx, store.APIURL(), storeBatch, events)
		for answer.code == http.StatusServiceUnavailable { // the connections of the killed one
			answer = storeJSON(ctx, store.APIURL(), storeBatch, events)
		}
		decoded[datastorage.BatchCreated](answer, http.StatusCreated)
		Expect(durabilities(ctx, trailURL(server))).To(HaveKeyWithValue("remote_apply", 1))
	}, SpecTimeout(specTimeout))

	It("field C6: a commit with a warning is answered 503, and its events are acknowledged only once they are replicated", func(ctx SpecContext) {
		server := ownPostgres(ctx)
		url := trailURL(server)
		admin := connect(ctx, url)
		store := storeOn(ctx, url, nil)
		Expect(server.Set(ctx, "synchronous_standby_names", "absent")).To(Succeed())
		id := env.CorrelationID()
		events := someEvents(id, 3)
		answers := make(chan storeAnswer)
		send := func() {
			defer GinkgoRecover()
			answers <- storeJSON(ctx, store.APIURL(), storeBatch, events)
		}
		// cancelWait stops the wait of a commit for the standby, as a statement's timeout does.
		cancelWait := func() {
			const waits = `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`
			for n := 0; n == 0; {
				Expect(admin.QueryRow(ctx, waits).Scan(&n)).To(Succeed())
			}
		}
		By("committing on the primary alone")
		go send()
		cancelWait()
		Expect(decoded[datastorage.Problem](<-answers, http.StatusServiceUnavailable).Detail).To(ContainSubstring("did not confirm the events"))
		Expect(storedOf(ctx, store.APIURL(), id)).To(HaveLen(len(events)), "the commit is on the primary")

		By("sending the same events again, which stores nothing and has to wait all the same")
		go send()
		cancelWait()
		decoded[datastorage.Problem](<-answers, http.StatusServiceUnavailable)

		By("connecting the standby")
		go send()
		standby := ownStandby(ctx, server, "absent")
		created := decoded[datastorage.BatchCreated](<-answers, http.StatusCreated)
		Expect(fmt.Sprint(created.Created, created.Duplicates)).To(Equal("0 3"))
		received, err := standby.Received(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(received).NotTo(BeZero())
		// What the store records about reads when it stops must not wait for a standby that has stopped.
		Expect(server.Set(ctx, "synchronous_standby_names", "")).To(Succeed())
	}, SpecTimeout(specTimeout))

	It("field C6: a running connection honors a configuration that promises more than before", func(ctx SpecContext) {
		server := ownPostgres(ctx)
		admin := connect(ctx, trailURL(server))
		store := storeOn(ctx, trailURL(server), nil)
		id := env.CorrelationID()
		storeSome(ctx, store.APIURL(), someEvents(id, 1)...)
		standby := ownStandby(ctx, server, "replica")
		Expect(server.Set(ctx, "synchronous_standby_names", "replica")).To(Succeed())
		execute(ctx, connect(ctx, trailURL(standby)), `SELECT pg_wal_replay_pause()`)
		Expect(server.Set(ctx, "synchronous_commit", "remote_apply")).To(Succeed())
		noticed := make(chan struct{})
		answers := make(chan storeAnswer, 1)
		go func() {
			defer GinkgoRecover()
			answers <- storeJSON(ctx, store.APIURL(), storeBatch, someEvents(id, 1))
			close(noticed)
		}()
		By("waiting for the replay, behind a commit that did not")
		const waits = `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'COMMIT%'`
		for n := 0; n == 0; {
			Expect(admin.QueryRow(ctx, waits).Scan(&n)).To(Succeed())
			Expect(noticed).NotTo(BeClosed(), "the answer waits for the standby's replay")
		}
		execute(ctx, connect(ctx, trailURL(standby)), `SELECT pg_wal_replay_resume()`)
		created := decoded[datastorage.BatchCreated](<-answers, http.StatusCreated)
		Expect(created.Created).To(Equal(1))
	}, SpecTimeout(specTimeout))
})
