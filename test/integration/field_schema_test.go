//go:build integration

package integration_test

import (
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
)

// days is the time n days from now, as events write it.
func days(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.RFC3339Nano) }

var _ = Describe("events and the tables that they are in", func() {
	It("field C2: an event of a clock that is far ahead is stored with its time, placed at its receipt, and counted", func(ctx SpecContext) {
		own, id := ownStore(ctx, nil), env.CorrelationID()
		ahead := anEvent(id, fields{"event_timestamp": days(1000)})
		storedBatch(ctx, own.URL, []fields{ahead})
		stored := storedOf(ctx, own.URL, id)
		Expect(stored).To(HaveLen(1))
		Expect(stored[0].EventTimestamp.Format(time.RFC3339Nano)).To(HavePrefix(days(1000)[:10]), "its own time is kept")
		Expect(stored[0].ClockSkewMs).To(HaveValue(BeNumerically(">", (999 * 24 * time.Hour).Milliseconds())))
		until := time.Now().UTC().Add(6 * time.Minute).Format(time.RFC3339)
		page := decoded[datastorage.EventPage](storeFind(ctx, own.URL, "correlation_id", id, "since", "1h", "until", until), http.StatusOK)
		Expect(page.Data).To(HaveLen(1), "lists place it five minutes after its receipt at most")
		Expect(string(storeCall(ctx, own.ManagementURL, http.MethodGet, "/metrics", nil, nil).body)).To(ContainSubstring(`datastorage_ingest_skewed_events_total{recorder=`))
	}, SpecTimeout(specTimeout))

	It("field C9: an event whose id is of a month without a partition is stored, found, recognized and counted", func(ctx SpecContext) {
		own, id := ownStore(ctx, nil), env.CorrelationID()
		old := anEvent(id, fields{"event_id": idAt(time.Date(2016, time.May, 1, 0, 0, 0, 0, time.UTC)).String()})
		beyond := anEvent(id, fields{"event_id": idAt(time.Now().AddDate(300, 0, 0)).String()})
		Expect(storedBatch(ctx, own.URL, []fields{old, beyond}).Created).To(Equal(2))
		Expect(storedBatch(ctx, own.URL, []fields{old, beyond}).Duplicates).To(Equal(2))
		Expect(idsOf(storedOf(ctx, own.URL, id))).To(ConsistOf(wireIDs(old, beyond)))
		Expect(string(storeCall(ctx, own.ManagementURL, http.MethodGet, "/metrics", nil, nil).body)).To(ContainSubstring(`datastorage_ingest_stray_events_total{recorder=`))
	}, SpecTimeout(specTimeout))

	DescribeTable("field C10: the role that serves adds and reads events, and cannot",
		func(ctx SpecContext, statement string) {
			own := ownStore(ctx, nil)
			storedBatch(ctx, own.URL, []fields{anEvent(env.CorrelationID(), nil)})
			_, err := connect(ctx, servingURL(own.DatabaseURL())).Exec(ctx, statement)
			var refused *pgconn.PgError
			Expect(errors.As(err, &refused)).To(BeTrue(), "%v", err)
			Expect(refused.Code).To(Equal("42501"), "insufficient_privilege: %v", err)
		},
		Entry("change them", `UPDATE audit_events SET severity = 'low'`, SpecTimeout(specTimeout)),
		Entry("delete them", `DELETE FROM audit_events`, SpecTimeout(specTimeout)),
		Entry("empty their table", `TRUNCATE audit_events`, SpecTimeout(specTimeout)),
		Entry("drop their table", `DROP TABLE audit_events`, SpecTimeout(specTimeout)),
		Entry("drop their trigger", `ALTER TABLE audit_events DISABLE TRIGGER ALL`, SpecTimeout(specTimeout)),
	)
})
