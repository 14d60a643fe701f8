//go:build integration

package integration_test

import (
	"net/http"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
)

// lockWaits counts the statements that wait for a lock on a table.
func lockWaits(ctx SpecContext, conn *pgx.Conn, table string) int {
	GinkgoHelper()
	var n int
	Expect(conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass`, table).Scan(&n)).To(Succeed())
	return n
}

var _ = Describe("Connections to the database", func() {
	It("field C5: slow queries take none from ingest, flush and probes, and a query without one is answered 503", func(ctx SpecContext) {
		const slow, forQueries = 18, 2 // one of three stays free for another caller
		own := ownStore(ctx, nil)      // a shorter --query-wait would also bound the time of a busy machine for a connection
		id := env.CorrelationID()
		storeSome(ctx, own.URL, someEvents(id, 2)...)

		By("blocking a partition that every list reads, and that no event of today is written to")
		lock, err := connect(ctx, own.DatabaseURL()).Begin(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = lock.Exec(ctx, `LOCK TABLE audit_events_untimed IN ACCESS EXCLUSIVE MODE`)
		Expect(err).NotTo(HaveOccurred())
		answers := make(chan storeAnswer, slow)
		for range slow {
			go func() {
				defer GinkgoRecover()
				answers <- storeFind(ctx, own.URL, "correlation_id", id)
			}()
		}
		for range slow - forQueries {
			answer := <-answers
			problem := decoded[datastorage.Problem](answer, http.StatusServiceUnavailable)
			Expect(problem.Detail).To(ContainSubstring("all connections for queries are in use"))
			Expect(answer.header.Get("Retry-After")).To(Equal("1"))
		}
		Expect(lockWaits(ctx, connect(ctx, own.DatabaseURL()), "audit_events_untimed")).To(Equal(forQueries))

		Expect(string(storeCall(ctx, own.ManagementURL, http.MethodGet, "/metrics", nil, nil).body)).
			To(ContainSubstring("\ndatastorage_queries_without_connection_total 16\n"))

		By("writing, flushing and probing meanwhile")
		storeSome(ctx, own.URL, someEvents(id, 3)...)
		Expect(storeCall(ctx, own.ManagementURL, http.MethodPost, "/audit/flush", nil, nil).code).To(Equal(http.StatusOK))
		Expect(storeCall(ctx, own.ManagementURL, http.MethodGet, "/readyz", nil, nil).code).To(Equal(http.StatusOK))

		Expect(lock.Rollback(ctx)).To(Succeed())
		for range forQueries {
			decoded[datastorage.EventPage](<-answers, http.StatusOK)
		}
		Expect(storedOf(ctx, own.URL, id)).To(HaveLen(5))
	}, SpecTimeout(specTimeout))
})
