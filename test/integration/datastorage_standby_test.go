//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/devstack/postgres"
	datastorageapp "kubernaut.ai/services/datastorage/app"
)

// pauseReplay stops a standby's replay, and returns once nothing more is replayed.
func pauseReplay(ctx context.Context, standby *postgres.Server) {
	GinkgoHelper()
	admin := connect(ctx, trailURL(standby))
	execute(ctx, admin, `SELECT pg_wal_replay_pause()`)
	for state := ""; state != "paused"; {
		Expect(admin.QueryRow(ctx, `SELECT pg_get_wal_replay_pause_state()`).Scan(&state)).To(Succeed())
	}
}

var _ = Describe("DataStorage query on a lagging standby", func() {
	It("answers with a token only what the token vouches for, and without one what it has", func(ctx SpecContext) {
		primary := ownPostgres(ctx)
		standby := ownStandby(ctx, primary, "lagging")
		awaitStreaming(ctx, primary)
		id := env.CorrelationID()
		events := someEvents(id, 4)
		writes := storeOn(ctx, trailURL(primary), nil).APIURL()
		impatient := storeOn(ctx, trailURL(standby), func(o *datastorageapp.Options) { o.StandbyWait = 50 * time.Millisecond }).APIURL()
		patient := storeOn(ctx, trailURL(standby), func(o *datastorageapp.Options) { o.StandbyWait = specTimeout }).APIURL()
		older := storeSome(ctx, writes, events[:2]...)
		page := decoded[datastorage.EventPage](storeFind(ctx, patient, "correlation_id", id, "at_least", older), http.StatusOK)
		Expect(idsOf(page.Data)).To(ConsistOf(wireIDs(events[:2]...)), "the standby replays, and the answer waits for it")

		By("storing events that the standby does not replay")
		pauseReplay(ctx, standby)
		newer := storeSome(ctx, writes, events[2:]...)
		for _, filter := range [][]string{{"correlation_id", id}, {"correlation_id", id, "severity", "critical"}} {
			answer := storeFind(ctx, impatient, append(filter, "at_least", newer)...)
			Expect(decoded[datastorage.Problem](answer, http.StatusServiceUnavailable).Detail).To(ContainSubstring("the token vouches for"))
			Expect(answer.header.Get("Retry-After")).To(Equal("1"))
		}
		for _, arguments := range [][]string{nil, {"at_least", older}} {
			page = decoded[datastorage.EventPage](storeFind(ctx, impatient, append([]string{"correlation_id", id}, arguments...)...), http.StatusOK)
			Expect(idsOf(page.Data)).To(ConsistOf(wireIDs(events[:2]...)), "older data, with %v", arguments)
		}

		By("resuming while a read waits")
		answers := make(chan storeAnswer, 1)
		go func() {
			defer GinkgoRecover()
			answers <- storeFind(ctx, patient, "correlation_id", id, "at_least", newer)
		}()
		// The read asks again and again how far the standby is.
		admin := connect(ctx, trailURL(standby))
		const waiting = `SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_last_wal_replay_lsn%' AND state <> 'idle' AND pid <> pg_backend_pid()`
		for n := 0; n == 0; {
			Expect(admin.QueryRow(ctx, waiting).Scan(&n)).To(Succeed())
			Expect(answers).To(BeEmpty(), "the answer waits for the replay")
		}
		execute(ctx, admin, `SELECT pg_wal_replay_resume()`)
		page = decoded[datastorage.EventPage](<-answers, http.StatusOK)
		Expect(idsOf(page.Data)).To(ConsistOf(wireIDs(events...)))
	}, SpecTimeout(specTimeout))
})
