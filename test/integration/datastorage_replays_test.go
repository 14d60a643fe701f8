//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/test/alertmanager"
)

// storedBatch is the answer to a batch that was stored.
func storedBatch(ctx context.Context, base string, events []fields) datastorage.BatchCreated {
	GinkgoHelper()
	return decoded[datastorage.BatchCreated](storeJSON(ctx, base, storeBatch, events), http.StatusCreated)
}

var _ = Describe("DataStorage ingest of replays", func() {
	var id string

	BeforeEach(func() { id = env.CorrelationID() })

	It("recognizes what was stored before it started, in batches that hold new events too", func(ctx SpecContext) {
		first := ownStore(ctx, nil)
		events := someEvents(id, 20)
		storedBatch(ctx, first.URL, events)

		next := storeOn(ctx, first.DatabaseURL(), nil)
		again := storedBatch(ctx, next.APIURL(), events)
		Expect([]int{again.Created, again.Duplicates}).To(Equal([]int{0, 20}))
		Expect(again.StoredAs).To(BeNil())
		mixed := append(someEvents(id, 5), events[7], anEvent(id, nil))
		answer := storedBatch(ctx, next.APIURL(), mixed)
		Expect([]int{answer.Created, answer.Duplicates}).To(Equal([]int{6, 1}))
		for i, e := range mixed {
			Expect(answer.EventIds[i].String()).To(Equal(e["event_id"]))
		}
		Expect(storedOf(ctx, next.APIURL(), id)).To(HaveLen(26))
	}, SpecTimeout(specTimeout))

	It("numbers the events of each transaction without a gap, and commits to each, also beside replays and rejected events", func(ctx SpecContext) {
		own := ownStore(ctx, nil)
		conn := connect(ctx, own.DatabaseURL())
		execute(ctx, conn, `ALTER TABLE audit_events ADD CONSTRAINT no_cursed_events CHECK (severity <> 'cursed')`)
		events := someEvents(id, 9)
		storedBatch(ctx, own.URL, events[:3])
		events[4]["severity"], events[7]["severity"] = "cursed", "cursed"
		answer := storeCall(ctx, own.URL, http.MethodPost, storeBatch, headerOf("Prefer", "handling=lenient"), encode(events))
		results := decoded[datastorage.BatchResults](answer, http.StatusMultiStatus)
		Expect([]int{results.Created, results.Duplicates, results.Rejected}).To(Equal([]int{4, 3, 2}))

		const numbered = `SELECT count(*) FROM audit_batches b WHERE
			(SELECT array_agg(e.batch_position ORDER BY e.batch_position) FROM audit_events e WHERE e.batch_id = b.batch_id)
				= (SELECT array_agg(n) FROM generate_series(0, b.events - 1) n)
			AND (SELECT string_agg(e.commitment, ''::bytea ORDER BY e.batch_position) FROM audit_events e WHERE e.batch_id = b.batch_id) = b.commitments`
		var complete, batches, loose int
		Expect(conn.QueryRow(ctx, numbered).Scan(&complete)).To(Succeed())
		Expect(conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM audit_batches), (SELECT count(*) FROM audit_events WHERE batch_id IS NULL)`).Scan(&batches, &loose)).To(Succeed())
		Expect([]int{complete, loose}).To(Equal([]int{batches, 0}))
		Expect(batches).To(Equal(2))
	}, SpecTimeout(specTimeout))

	It("field C11: stores an event under a second id if another event has its own, and finds it again there", func(ctx SpecContext) {
		base := env.DataStorage.URL
		first := anEvent(id, nil)
		storedBatch(ctx, base, []fields{first})
		other := anEvent(id, fields{"event_id": first["event_id"], "event_outcome": "failure"})
		batch := []fields{anEvent(id, nil), other}

		answer := storedBatch(ctx, base, batch)
		Expect([]int{answer.Created, answer.Duplicates}).To(Equal([]int{2, 0}))
		Expect(answer.EventIds[1].String()).To(Equal(first["event_id"]))
		Expect(answer.StoredAs).To(HaveValue(HaveLen(1)))
		second := (*answer.StoredAs)[0]
		Expect(second.Index).To(Equal(1))

		again := storedBatch(ctx, base, batch)
		Expect([]int{again.Created, again.Duplicates}).To(Equal([]int{0, 2}))
		Expect(again.StoredAs).To(Equal(answer.StoredAs), "a replay gets the same id")
		single := decoded[datastorage.EventCreated](storeJSON(ctx, base, storeEvents, other), http.StatusCreated)
		Expect(single.StoredAs).To(HaveValue(Equal(second.EventId)))
		Expect(single.Message).To(Equal("stored before"))

		stored := storedOf(ctx, base, id)
		Expect(idsOf(stored)).To(ConsistOf(append(wireIDs(first, batch[0]), second.EventId.String())))
		for _, e := range stored {
			if e.EventId == second.EventId {
				Expect(e.EventOutcome).To(BeEquivalentTo("failure"))
				Expect(e.ClaimedEventId.String()).To(Equal(first["event_id"]))
			}
		}
	}, SpecTimeout(specTimeout))

	It("field C11: keeps two events of one batch that have the same id", func(ctx SpecContext) {
		base := env.DataStorage.URL
		within := anEvent(id, nil)
		contradicting := anEvent(id, fields{"event_id": within["event_id"], "severity": "low"})
		answer := storedBatch(ctx, base, []fields{within, contradicting, contradicting})
		Expect([]int{answer.Created, answer.Duplicates}).To(Equal([]int{2, 1}))
		Expect(answer.StoredAs).To(HaveValue(HaveLen(2)))
		Expect(storedOf(ctx, base, id)).To(HaveLen(2))
	}, SpecTimeout(specTimeout))

	It("stores both of two concurrent batches that use one id for different events", func(ctx SpecContext) {
		base := env.DataStorage.URL
		for range 10 {
			shared := anEvent(id, nil)
			bodies := [][]byte{
				encode([]fields{anEvent(id, nil), shared}),
				encode([]fields{anEvent(id, fields{"event_id": shared["event_id"], "severity": "low"}), anEvent(id, nil)}),
			}
			before := len(storedOf(ctx, base, id))
			answers := make([]storeAnswer, len(bodies))
			errs := make([]error, len(bodies))
			var group sync.WaitGroup
			for i, body := range bodies {
				group.Go(func() {
					answers[i], errs[i] = tryStoreCall(ctx, base, http.MethodPost, storeBatch, alertmanager.JSON(), body)
				})
			}
			group.Wait()
			Expect(errs).To(HaveEach(BeNil()))
			second := 0
			for _, answer := range answers {
				if as := decoded[datastorage.BatchCreated](answer, http.StatusCreated).StoredAs; as != nil {
					second += len(*as)
				}
			}
			Expect(second).To(Equal(1))
			Expect(storedOf(ctx, base, id)).To(HaveLen(before + 4))
		}
	}, SpecTimeout(specTimeout))
})
