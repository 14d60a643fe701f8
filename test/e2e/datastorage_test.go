//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
)

var _ = Describe("DataStorage", func() {
	var id string

	BeforeEach(func() { id = env.CorrelationID() })

	DescribeTable("filters by", func(ctx SpecContext, change func(*datastorage.AuditEvent), parameters ...string) {
		wanted := anEvent(id, change)
		token := writer().store(ctx, anEvent(id, nil), wanted, anEvent(id, nil)).ConsistencyToken
		parameters = append(parameters, "correlation_id", id, "at_least", token)
		page := decoded[datastorage.EventPage](reader().find(ctx, parameters...), http.StatusOK)
		Expect(idsOf(page.Data)).To(Equal(sentIDs(wanted)))
		Expect(page.Pagination.Total).To(Equal(1))
	},
		Entry("type", func(e *datastorage.AuditEvent) { e.EventType = "gateway.b.c" }, "event_type", "gateway.b.c", SpecTimeout(specTimeout)),
		Entry("the beginning of the type", func(e *datastorage.AuditEvent) { e.EventType = "gateway.b.c" }, "event_type", "gateway.b.*", SpecTimeout(specTimeout)),
		Entry("category", func(e *datastorage.AuditEvent) { e.EventCategory = "security" }, "event_category", "security", SpecTimeout(specTimeout)),
		Entry("action", func(e *datastorage.AuditEvent) { e.EventAction = "opened" }, "event_action", "opened", SpecTimeout(specTimeout)),
		Entry("outcome", func(e *datastorage.AuditEvent) { e.EventOutcome = datastorage.Pending }, "event_outcome", "pending", SpecTimeout(specTimeout)),
		Entry("severity", func(e *datastorage.AuditEvent) { e.Severity = new("high") }, "severity", "high", SpecTimeout(specTimeout)),
		Entry("actor", func(e *datastorage.AuditEvent) { e.ActorId = new("alice") }, "actor_id", "alice", SpecTimeout(specTimeout)),
		Entry("resource", func(e *datastorage.AuditEvent) { e.ResourceType, e.ResourceId = new("Pod"), new("web") },
			"resource_type", "Pod", "resource_id", "web", SpecTimeout(specTimeout)),
		Entry("namespace", func(e *datastorage.AuditEvent) { e.Namespace = new("shop") }, "namespace", "shop", SpecTimeout(specTimeout)),
		Entry("cluster", func(e *datastorage.AuditEvent) { e.ClusterId = new("blue") }, "cluster_id", "blue", SpecTimeout(specTimeout)),
		Entry("a span of time", func(e *datastorage.AuditEvent) { e.EventTimestamp = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) },
			"since", "2020-01-01", "until", "2020-01-01T00:00:00.000001Z", SpecTimeout(specTimeout)),
		Entry("days back", func(e *datastorage.AuditEvent) { e.EventTimestamp = time.Now().Add(-49 * time.Hour) },
			"since", "3d", "until", "2d", SpecTimeout(specTimeout)),
		Entry("a field of the data", func(e *datastorage.AuditEvent) { e.EventData = json.RawMessage(`{"kind":"Pod"}`) },
			"detail_key", "kind", "detail_value", "Pod", SpecTimeout(specTimeout)),
		Entry("a nested field", func(e *datastorage.AuditEvent) { e.EventData = json.RawMessage(`{"a":{"b":[1,{"c":"x"}]}}`) },
			"detail_key", "$.a.b[1].c", "detail_value", "x", SpecTimeout(specTimeout)),
	)

	DescribeTable("refuses and names", func(ctx SpecContext, parameter string, reason string, parameters ...string) {
		problem := decoded[datastorage.Problem](reader().find(ctx, parameters...), http.StatusBadRequest)
		Expect(problem.FieldErrors).To(HaveLen(1))
		Expect(problem.FieldErrors).To(HaveKeyWithValue(parameter, ContainSubstring(reason)))
	},
		Entry("an unknown parameter", "corelation_id", "not a known", "corelation_id", "x", SpecTimeout(specTimeout)),
		Entry("an empty parameter", "correlation_id", "must not be empty", "correlation_id", "", SpecTimeout(specTimeout)),
		Entry("limit 0", "limit", "from 1 to 1000", "limit", "0", SpecTimeout(specTimeout)),
		Entry("limit 1001", "limit", "from 1 to 1000", "limit", "1001", SpecTimeout(specTimeout)),
		Entry("an order", "order", "asc or desc", "order", "up", SpecTimeout(specTimeout)),
		Entry("a time", "since", "RFC 3339", "since", "yesterday", SpecTimeout(specTimeout)),
		Entry("a cursor", "cursor", "malformed", "cursor", "AAAA", SpecTimeout(specTimeout)),
		Entry("a token", "at_least", "malformed", "at_least", "yesterday", SpecTimeout(specTimeout)),
	)

	It("pages over every event once in both orders, whichever replica answers", func(ctx SpecContext) {
		const events, size = 25, 4
		batch := make([]datastorage.AuditEvent, 0, events)
		start := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
		for i := range events {
			// Some have equal times: then the id decides.
			batch = append(batch, anEvent(id, func(e *datastorage.AuditEvent) { e.EventTimestamp = start.Add(time.Duration(i/4) * time.Second) }))
		}
		token := writer().store(ctx, batch...).ConsistencyToken
		wanted := sentIDs(batch...) // version 7 ids are ordered
		for _, order := range []string{"asc", "desc"} {
			var seen []string
			for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
				Expect(pages).To(BeNumerically("<", events))
				parameters := []string{"correlation_id", id, "order", order, "limit", strconv.Itoa(size), "at_least", token}
				if cursor != "" {
					parameters = append(parameters, "cursor", cursor)
				}
				page := decoded[datastorage.EventPage](reader().find(ctx, parameters...), http.StatusOK)
				Expect(page.Pagination.Total).To(Equal(events))
				Expect(page.Pagination.HasMore).To(Equal(page.Pagination.NextCursor != nil))
				seen = append(seen, idsOf(page.Data)...)
				cursor = ""
				if page.Pagination.NextCursor != nil {
					cursor = *page.Pagination.NextCursor
				}
			}
			Expect(seen).To(Equal(wanted), order)
			slices.Reverse(wanted)
		}
	}, SpecTimeout(specTimeout))

	It("gives at most the limit, and older clients their offset", func(ctx SpecContext) {
		batch := make([]datastorage.AuditEvent, 3)
		for i := range batch {
			batch[i] = anEvent(id, nil)
		}
		writer().store(ctx, batch...)
		for _, limit := range []int{1, 2, 1000} {
			page := decoded[datastorage.EventPage](reader().find(ctx, "correlation_id", id, "limit", strconv.Itoa(limit)), http.StatusOK)
			Expect(page.Data).To(HaveLen(min(limit, len(batch))))
			Expect(page.Pagination.Limit).To(Equal(limit))
		}
		page := decoded[datastorage.EventPage](reader().find(ctx, "correlation_id", id, "limit", "2", "offset", "2"), http.StatusOK)
		Expect(idsOf(page.Data)).To(Equal(sentIDs(batch[0])), "newest first")
	}, SpecTimeout(specTimeout))

	It("stores each event of a batch once, although both replicas receive it concurrently and repeatedly", func(ctx SpecContext) {
		const times = 6
		batch := make([]datastorage.AuditEvent, 20)
		for i := range batch {
			batch[i] = anEvent(id, func(e *datastorage.AuditEvent) { e.EventData = json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)) })
		}
		body := encode(batch)
		replicas := dataStorageReplicas(ctx)
		answers, errs := make([]storageAnswer, times), make([]error, times)
		var all sync.WaitGroup
		for i := range times {
			all.Go(func() {
				to := storage{replicas[i%len(replicas)], env.Tokens.Writer}
				answers[i], errs[i] = to.try(ctx, http.MethodPost, storeBatch, contentJSON(), body)
			})
		}
		all.Wait()
		Expect(errs).To(HaveEach(BeNil()))
		created := 0
		parameters := slices.Grow([]string{"correlation_id", id, "order", "asc", "limit", "1000"}, 2*len(answers))
		for _, a := range answers {
			stored := decoded[datastorage.BatchCreated](a, http.StatusCreated)
			Expect(stored.Created + stored.Duplicates).To(Equal(len(batch)))
			created += stored.Created
			parameters = append(parameters, "at_least", stored.ConsistencyToken)
		}
		Expect(created).To(Equal(len(batch)))
		for _, replica := range replicas {
			page := decoded[datastorage.EventPage](storage{replica, env.Tokens.Reader}.find(ctx, parameters...), http.StatusOK)
			Expect(idsOf(page.Data)).To(ConsistOf(sentIDs(batch...)))
			for i := range page.Data {
				Expect(page.Data[i].RecordedBy).To(HaveValue(HaveSuffix(":writer")), "the account that sent it")
			}
		}

		By("sending another content under one of the ids")
		batch[0].EventData = json.RawMessage(`{"n":"another"}`)
		again := decoded[datastorage.BatchCreated](writer().call(ctx, http.MethodPost, storeBatch, contentJSON(), encode(batch)), http.StatusCreated)
		Expect([]int{again.Created, again.Duplicates}).To(Equal([]int{1, len(batch) - 1}))
		Expect(again.StoredAs).To(HaveValue(HaveLen(1)))
	}, SpecTimeout(specTimeout))

	It("reads one event by its id, and answers 404 for others", func(ctx SpecContext) {
		event := anEvent(id, nil)
		writer().store(ctx, event)
		path := storeEvents + "/" + sentIDs(event)[0]
		Expect(decoded[datastorage.StoredEvent](reader().call(ctx, http.MethodGet, path, nil, nil), http.StatusOK).CorrelationId).To(Equal(id))
		path = storeEvents + "/" + sentIDs(anEvent(id, nil))[0]
		problem := decoded[datastorage.Problem](reader().call(ctx, http.MethodGet, path, nil, nil), http.StatusNotFound)
		Expect(strings.ToLower(problem.Detail)).To(ContainSubstring("there is no event"))
	}, SpecTimeout(specTimeout))
})

// dataStorageReplicas returns a client for each of its pods.
func dataStorageReplicas(ctx SpecContext) []string {
	GinkgoHelper()
	pods := podsOf(ctx, "datastorage")
	Expect(len(pods)).To(BeNumerically(">", 1))
	return forward(ctx, pods...)
}
