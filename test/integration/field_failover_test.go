//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/devstack/postgres"
)

// resumeWithin is how soon writes must work after a promotion.
const resumeWithin = 10 * time.Second

// storeUntilAcknowledged sends the same events until they are stored, and returns
// how long that took. Any answer but 201 and 503 fails the spec.
func storeUntilAcknowledged(ctx context.Context, base string, events ...fields) time.Duration {
	GinkgoHelper()
	began := time.Now()
	for {
		answer := storeJSON(ctx, base, storeBatch, events)
		if answer.code == http.StatusServiceUnavailable {
			Expect(answer.header.Get("Retry-After")).NotTo(BeEmpty())
			continue
		}
		decoded[datastorage.BatchCreated](answer, http.StatusCreated)
		return time.Since(began)
	}
}

// awaitStreaming returns once a standby streams from a primary.
func awaitStreaming(ctx context.Context, primary *postgres.Server) {
	GinkgoHelper()
	conn, err := pgx.Connect(ctx, trailURL(primary))
	Expect(err).NotTo(HaveOccurred())
	for n := 0; n == 0; {
		Expect(conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'`).Scan(&n)).To(Succeed())
	}
	Expect(conn.Close(ctx)).To(Succeed())
}

// awaitReplayed returns once a standby has everything that its primary has.
func awaitReplayed(ctx context.Context, primary *postgres.Server) {
	GinkgoHelper()
	conn, err := pgx.Connect(ctx, trailURL(primary))
	Expect(err).NotTo(HaveOccurred())
	for n := 0; n == 0; {
		Expect(conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_flush_lsn()`).Scan(&n)).To(Succeed())
	}
	Expect(conn.Close(ctx)).To(Succeed()) // the primary is killed next
}

func readiness(ctx context.Context, store *loggedStore) int {
	GinkgoHelper()
	return storeCall(ctx, store.ManagementURL(), http.MethodGet, "/readyz", nil, nil).code
}

var _ = Describe("A failover of PostgreSQL", func() {
	It("field C7: connections to a former primary are dropped, readiness tells, and writes resume at once", func(ctx SpecContext) {
		first := ownPostgres(ctx)
		second := ownStandby(ctx, first, "second")
		awaitStreaming(ctx, first)
		address := newForwarder(ctx, first)
		store := storeOn(ctx, postgres.AtSockets(first, trailDatabase, address.folder), nil)
		id := env.CorrelationID()
		events := someEvents(id, 6)
		storeSome(ctx, store.APIURL(), events[:2]...)
		Expect(readiness(ctx, store)).To(Equal(http.StatusOK))
		Expect(store.logs.FilterMessage("database replicates asynchronously").Len()).To(Equal(1))
		metrics := string(storeCall(ctx, store.ManagementURL(), http.MethodGet, "/metrics", nil, nil).body)
		Expect(metrics).To(And(ContainSubstring("\ndatastorage_database_replicates_asynchronously 1\n"),
			ContainSubstring("\ndatastorage_database_up 1\n"), ContainSubstring("\ndatastorage_database_writable 1\n")))

		By("moving the address to the standby")
		awaitReplayed(ctx, first)
		address.moveTo(second)
		Expect(first.Kill(ctx)).To(Succeed())
		answer := storeJSON(ctx, store.APIURL(), storeBatch, events[2:4])
		for detail := ""; detail == ""; answer = storeJSON(ctx, store.APIURL(), storeBatch, events[2:4]) {
			detail = decoded[datastorage.Problem](answer, http.StatusServiceUnavailable).Detail
		}
		Expect(readiness(ctx, store)).To(Equal(http.StatusServiceUnavailable))
		Expect(storedOf(ctx, store.APIURL(), id)).To(HaveLen(2), "a standby answers queries")
		metrics = string(storeCall(ctx, store.ManagementURL(), http.MethodGet, "/metrics", nil, nil).body)
		Expect(metrics).To(And(ContainSubstring("\ndatastorage_database_up 1\n"), ContainSubstring("\ndatastorage_database_writable 0\n")))

		By("promoting it, which the open connections need not be told")
		Expect(second.Promote(ctx)).To(Succeed())
		Expect(storeUntilAcknowledged(ctx, store.APIURL(), events[2:4]...)).To(BeNumerically("<", resumeWithin))
		Expect(readiness(ctx, store)).To(Equal(http.StatusOK))

		By("moving the address to the former primary, which follows by now, and back while its connections stay open")
		Expect(first.Rejoin(ctx, second, "first")).To(Succeed())
		former := storeOn(ctx, postgres.AtSockets(first, trailDatabase, first.SocketDir()), nil)
		decoded[datastorage.Problem](storeJSON(ctx, former.APIURL(), storeBatch, events[4:]), http.StatusServiceUnavailable)
		Expect(readiness(ctx, former)).To(Equal(http.StatusServiceUnavailable))
		address.moveTo(first)
		closed := connect(ctx, trailURL(second))
		execute(ctx, closed, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'datastorage'`)
		decoded[datastorage.Problem](storeJSON(ctx, store.APIURL(), storeBatch, events[4:]), http.StatusServiceUnavailable)
		address.moveTo(second)
		Expect(storeUntilAcknowledged(ctx, store.APIURL(), events[4:]...)).To(BeNumerically("<", resumeWithin))
		Expect(idsOf(storedOf(ctx, store.APIURL(), id))).To(ConsistOf(wireIDs(events...)))
	}, SpecTimeout(specTimeout))

	It("field C7: with several hosts and synchronous replication nothing acknowledged is lost when the primary dies", func(ctx SpecContext) {
		first := ownPostgres(ctx)
		second := ownStandby(ctx, first, "second")
		Expect(first.Set(ctx, "synchronous_standby_names", "ANY 1 (*)")).To(Succeed())
		awaitStreaming(ctx, first)
		store := storeOn(ctx, postgres.AnyOf(trailDatabase, first, second), nil)
		Expect(store.logs.FilterMessage("database replicates asynchronously").Len()).To(BeZero())
		id := env.CorrelationID()
		var acknowledged []fields //nolint:prealloc // a few
		for range 20 {
			events := someEvents(id, 5)
			storeSome(ctx, store.APIURL(), events...)
			acknowledged = append(acknowledged, events...)
		}
		pending := someEvents(id, 5)
		Expect(first.Kill(ctx)).To(Succeed())
		decoded[datastorage.Problem](storeJSON(ctx, store.APIURL(), storeBatch, pending), http.StatusServiceUnavailable)
		Expect(second.Promote(ctx)).To(Succeed())
		// As a failover manager does while there is no standby.
		Expect(second.Set(ctx, "synchronous_standby_names", "")).To(Succeed())
		Expect(storeUntilAcknowledged(ctx, store.APIURL(), pending...)).To(BeNumerically("<", resumeWithin))
		Expect(idsOf(storedOf(ctx, store.APIURL(), id))).To(ConsistOf(wireIDs(append(acknowledged, pending...)...)))
	}, SpecTimeout(specTimeout))

	It("says once that the database is away and once that it is back, with cause and remedy", func(ctx SpecContext) {
		server := ownPostgres(ctx)
		store := storeOn(ctx, postgres.AtSockets(server, trailDatabase, server.SocketDir()), nil)
		id := env.CorrelationID()
		Expect(server.Kill(ctx)).To(Succeed())
		for range 10 {
			decoded[datastorage.Problem](storeJSON(ctx, store.APIURL(), storeEvents, anEvent(id, nil)), http.StatusServiceUnavailable)
			problem := decoded[datastorage.Problem](storeFind(ctx, store.APIURL(), "correlation_id", id), http.StatusServiceUnavailable)
			Expect(problem.Detail).To(And(ContainSubstring("the database cannot be reached"), Not(ContainSubstring("in time"))))
		}
		Expect(readiness(ctx, store)).To(Equal(http.StatusServiceUnavailable))
		metrics := string(storeCall(ctx, store.ManagementURL(), http.MethodGet, "/metrics", nil, nil).body)
		Expect(metrics).To(ContainSubstring("\ndatastorage_database_up 0\n"))
		Expect(server.Restart(ctx)).To(Succeed())
		storeUntilAcknowledged(ctx, store.APIURL(), anEvent(id, nil))
		Expect(readiness(ctx, store)).To(Equal(http.StatusOK))

		away := store.logs.FilterMessage("database away").All()
		Expect(away).To(HaveLen(1))
		said := away[0].ContextMap()
		Expect(said).To(HaveKey("remedy"))
		Expect(said["error"]).To(And(ContainSubstring("unreachable"), ContainSubstring(server.SocketDir()), Not(ContainSubstring("\n"))))
		Expect(store.logs.FilterMessage("database back").Len()).To(Equal(1))
		Expect(store.logs.FilterMessage("request failed").Len()).To(BeZero(), "not a line for each request")
	}, SpecTimeout(specTimeout))
})
