//go:build integration

package integration_test

import (
	"bytes"
	"compress/gzip"
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
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/alertmanager"
)

// storeSome stores events and returns the consistency token.
func storeSome(ctx SpecContext, base string, events ...fields) string {
	GinkgoHelper()
	return decoded[datastorage.BatchCreated](storeJSON(ctx, base, storeBatch, events), http.StatusCreated).ConsistencyToken
}

var _ = Describe("DataStorage query", func() {
	var base, id string

	BeforeEach(func() {
		base, id = env.DataStorage.URL, env.CorrelationID()
	})

	// alone stores an event that differs from two others in one field, and expects a
	// query for that field to find only that event.
	alone := func(ctx SpecContext, changes fields, parameters ...string) {
		GinkgoHelper()
		wanted := anEvent(id, changes)
		storeSome(ctx, base, anEvent(id, nil), wanted, anEvent(id, fields{"event_data": fields{"other": "thing"}}))
		page := decoded[datastorage.EventPage](storeFind(ctx, base, append(parameters, "correlation_id", id)...), http.StatusOK)
		Expect(idsOf(page.Data)).To(Equal(wireIDs(wanted)))
		Expect(page.Pagination).To(Equal(datastorage.Pagination{Limit: 50, Total: 1}))
	}

	It("filters by start time", func(ctx SpecContext) {
		// Entries are constructed when the suite starts, which may be minutes ago.
		now := time.Now()
		alone(ctx, fields{"event_timestamp": now.Add(2 * time.Minute)}, "since", now.Add(time.Minute).Format(time.RFC3339Nano))
	})

	It("filters by the caller that recorded an event", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth = twoCallers() })
		for _, caller := range []string{behaves, stalls} {
			storeJSON(ctx, own.URL, storeEvents, anEvent(id, fields{"actor_id": "alice"}), "Authorization", "Bearer "+caller)
		}
		answer := storeCall(ctx, own.URL, http.MethodGet, storeEvents+"?correlation_id="+id+"&actor_id=alice&recorded_by="+stalls, behaved(), nil)
		page := decoded[datastorage.EventPage](answer, http.StatusOK)
		Expect(page.Data).To(HaveLen(1))
		Expect(*page.Data[0].RecordedBy).To(Equal(stalls))
	}, SpecTimeout(specTimeout))

	It("refuses searches that cannot find anything, instead of finding nothing", func(ctx SpecContext) {
		storeSome(ctx, base, anEvent(id, fields{"event_data": fields{"target": fields{"name": "w1"}, "targets": []any{fields{"name": "w1"}}}}))
		for key, hint := range map[string]string{
			"$.target": "$.target.name", "target": "$.target.name", "$.targets": "$.targets[*]",
		} {
			answer := storeFind(ctx, base, "correlation_id", id, "detail_key", key, "detail_value", "w1")
			Expect(decoded[datastorage.Problem](answer, http.StatusBadRequest).Detail).To(ContainSubstring(hint), key)
		}
		answer := storeFind(ctx, base, "correlation_id", id, "detail_key", "target.kind", "detail_value", "w1")
		Expect(decoded[datastorage.EventPage](answer, http.StatusOK).Data).To(BeEmpty())
		for name, value := range map[string]string{"event_type": "gateway", "namespace": "sho*", "correlation_id": id[:8] + "*"} {
			answer := storeFind(ctx, base, name, value)
			Expect(decoded[datastorage.Problem](answer, http.StatusBadRequest).FieldErrors).To(HaveKeyWithValue(name, ContainSubstring("gateway.*")))
		}
		storeSome(ctx, base, anEvent(id, fields{"namespace": "ends-in-*", "event_timestamp": "2020-01-01T00:00:00Z"}))
		answer = storeFind(ctx, base, "correlation_id", id, "namespace", "ends-in-*")
		Expect(decoded[datastorage.EventPage](answer, http.StatusOK).Data).To(HaveLen(1))
		answer = storeFind(ctx, base, "correlation_id", id, "since", "1m", "until", "5m")
		Expect(decoded[datastorage.Problem](answer, http.StatusBadRequest).Detail).To(ContainSubstring("later than since"))
		unescaped := time.Now().Add(-time.Hour).In(time.FixedZone("", 3600)).Format(time.RFC3339)
		answer = storeCall(ctx, base, http.MethodGet, storeEvents+"?correlation_id="+id+"&since="+unescaped, nil, nil)
		Expect(decoded[datastorage.EventPage](answer, http.StatusOK).Data).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("compresses pages, and answers 406 to clients that take no JSON", func(ctx SpecContext) {
		storeSome(ctx, base, anEvent(id, nil))
		path := storeEvents + "?correlation_id=" + id
		answer := storeCall(ctx, base, http.MethodGet, path, http.Header{"Accept-Encoding": {"gzip"}}, nil)
		Expect(answer.header.Get("Content-Encoding")).To(Equal("gzip"))
		reader, err := gzip.NewReader(bytes.NewReader(answer.body))
		Expect(err).NotTo(HaveOccurred())
		var page datastorage.EventPage
		Expect(json.NewDecoder(reader).Decode(&page)).To(Succeed())
		Expect(page.Data).To(HaveLen(1))
		answer = storeCall(ctx, base, http.MethodGet, path, http.Header{"Accept": {"text/csv"}}, nil)
		Expect(decoded[datastorage.Problem](answer, http.StatusNotAcceptable).Detail).To(ContainSubstring("application/json"))
	}, SpecTimeout(specTimeout))

	DescribeTable("filters by", alone,
		Entry("type", fields{"event_type": "a.b.c"}, "event_type", "a.b.c"),
		Entry("the beginning of the type", fields{"event_type": "a.b.c"}, "event_type", "a.*"),
		Entry("a beginning that LIKE would read as a pattern", fields{"event_type": "a_b.c"}, "event_type", "a_b*"),
		Entry("category", fields{"event_category": "security"}, "event_category", "security"),
		Entry("action", fields{"event_action": "opened"}, "event_action", "opened"),
		Entry("outcome", fields{"event_outcome": "pending"}, "event_outcome", "pending"),
		Entry("severity", fields{"severity": "high"}, "severity", "high"),
		Entry("actor", fields{"actor_id": "alice"}, "actor_id", "alice"),
		Entry("actor type", fields{"actor_type": "service"}, "actor_type", "service"),
		Entry("producer", fields{"producer_id": "gateway-0"}, "producer_id", "gateway-0"),
		Entry("error code", fields{"error_code": "timeout"}, "error_code", "timeout"),
		Entry("parent", fields{"parent_event_id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "parent_event_id", "01890a5d-ac96-774b-bcce-b302099a8057"),
		Entry("resource type", fields{"resource_type": "Pod"}, "resource_type", "Pod"),
		Entry("resource id", fields{"resource_id": "checkout"}, "resource_id", "checkout"),
		Entry("namespace", fields{"namespace": "shop"}, "namespace", "shop"),
		Entry("cluster", fields{"cluster_id": "blue"}, "cluster_id", "blue"),
		Entry("cluster by its older name", fields{"cluster_name": "blue"}, "cluster_id", "blue"),
		Entry("end of time, a date", fields{"event_timestamp": "2020-01-01T23:59:59Z"}, "until", "2020-01-02"),
		Entry("a span of time", fields{"event_timestamp": "2020-01-01T00:00:00Z"}, "since", "2020-01-01", "until", "2020-01-01T00:00:00.000001Z"),
		Entry("hours back", fields{"event_timestamp": time.Now().Add(-2 * time.Hour)}, "until", "1h"),
		Entry("days back", fields{"event_timestamp": time.Now().Add(-49 * time.Hour)}, "since", "3d", "until", "2d"),
		Entry("a field of the data", fields{"event_data": fields{"kind": "Pod"}}, "detail_key", "kind", "detail_value", "Pod"),
		Entry("a field with a dot", fields{"event_data": fields{"a.b": "c"}}, "detail_key", "a.b", "detail_value", "c"),
		Entry("a nested field with dots", fields{"event_data": fields{"target": fields{"name": "w1"}}}, "detail_key", "target.name", "detail_value", "w1"),
		Entry("a number of the data", fields{"event_data": fields{"n": 1.5}}, "detail_key", "n", "detail_value", "1.5"),
		Entry("a boolean of the data", fields{"event_data": fields{"ok": true}}, "detail_key", "$.ok", "detail_value", "true"),
		Entry("an empty text of the data", fields{"event_data": fields{"k": ""}}, "detail_key", "k", "detail_value", ""),
		Entry("a nested field", fields{"event_data": fields{"a": fields{"b c": "d"}}}, "detail_key", `$.a["b c"]`, "detail_value", "d"),
		Entry("a position", fields{"event_data": fields{"a": []any{1, fields{"b": "x"}}}}, "detail_key", "$.a[1].b", "detail_value", "x"),
		Entry("any position", fields{"event_data": fields{"a": []any{"x", "y"}}}, "detail_key", "$.a[*]", "detail_value", "y"),
		Entry("what looks like SQL", fields{"actor_id": `' OR 1=1 --`}, "actor_id", `' OR 1=1 --`),
		Entry("several at once", fields{"severity": "high", "namespace": "shop"}, "severity", "high", "namespace", "shop", "event_type", "*"),
	)

	DescribeTable("rejects and names", func(ctx SpecContext, parameter string, reason string, parameters ...string) {
		problem := decoded[datastorage.Problem](storeFind(ctx, base, parameters...), http.StatusBadRequest)
		Expect(problem.Type).To(HaveSuffix("/validation-error"))
		Expect(problem.FieldErrors).To(HaveLen(1))
		Expect(problem.FieldErrors).To(HaveKeyWithValue(parameter, ContainSubstring(reason)))
		Expect(problem.Detail).To(ContainSubstring(parameter))
	},
		Entry("an unknown parameter", "corelation_id", "not a known", "corelation_id", "x"),
		Entry("an empty parameter", "correlation_id", "must not be empty", "correlation_id", ""),
		Entry("a parameter given twice", "severity", "once", "severity", "a", "severity", "b"),
		Entry("limit 0", "limit", "from 1 to 1000", "limit", "0"),
		Entry("limit 1001", "limit", "from 1 to 1000", "limit", "1001"),
		Entry("a limit that is no number", "limit", "whole number", "limit", "many"),
		Entry("a negative offset", "offset", "from 0", "offset", "-1"),
		Entry("an order", "order", "asc or desc", "order", "up"),
		Entry("an outcome", "event_outcome", "success, failure or pending", "event_outcome", "maybe"),
		Entry("a time", "since", "RFC 3339", "since", "yesterday"),
		Entry("a key without a value", "detail_value", "required", "detail_key", "k"),
		Entry("a value without a key", "detail_key", "required", "detail_value", "v"),
		Entry("a path with a filter", "detail_key", "must be a field's name", "detail_key", "$.a ? (@ > 1)", "detail_value", "v"),
		Entry("NUL", "actor_id", "NUL", "actor_id", "a\x00"),
		Entry("a cursor", "cursor", "malformed", "cursor", "AAAA"),
		Entry("a token", "at_least", "malformed", "at_least", "yesterday"),
	)

	It("pages over every event once in both orders, even while others are stored", func(ctx SpecContext) {
		const events, size = 95, 10
		batch := make([]fields, 0, events)
		start := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
		for i := range events {
			// Some have equal times: then the id decides.
			batch = append(batch, anEvent(id, fields{"event_timestamp": start.Add(time.Duration(i/7) * time.Second)}))
		}
		storeSome(ctx, base, batch...)
		for _, order := range []string{"asc", "desc"} {
			var group sync.WaitGroup
			var seen []datastorage.StoredEvent
			for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
				Expect(pages).To(BeNumerically("<", 3*events/size))
				parameters := []string{"correlation_id", id, "since", "2h", "order", order, "limit", strconv.Itoa(size)}
				if cursor != "" {
					parameters = append(parameters, "cursor", cursor)
				}
				page := decoded[datastorage.EventPage](storeFind(ctx, base, parameters...), http.StatusOK)
				Expect(page.Pagination.HasMore).To(Equal(page.Pagination.NextCursor != nil))
				Expect(page.Pagination.Total).To(BeNumerically(">=", events))
				seen = append(seen, page.Data...)
				cursor = ""
				if page.Pagination.NextCursor != nil {
					cursor = *page.Pagination.NextCursor
				}
				body := encode(anEvent(id, fields{"severity": "later"}))
				group.Go(func() {
					_, _ = tryStoreCall(ctx, base, http.MethodPost, storeEvents, alertmanager.JSON(), body)
				})
			}
			group.Wait()
			Expect(slices.IsSortedFunc(seen, func(a, b datastorage.StoredEvent) int {
				c := a.EventTimestamp.Compare(b.EventTimestamp)
				if c == 0 {
					c = strings.Compare(a.EventId.String(), b.EventId.String())
				}
				if order == "desc" {
					return -c
				}
				return c
			})).To(BeTrue())
			ids := idsOf(seen)
			Expect(slices.Compact(slices.Sorted(slices.Values(ids)))).To(HaveLen(len(ids)), "no event twice")
			Expect(ids).To(ContainElements(wireIDs(batch...)))
		}
	}, SpecTimeout(specTimeout))

	It("bounds a page in bytes, and still returns every event once", func(ctx SpecContext) {
		// As text that PostgreSQL gives back, "pad" takes 11 bytes and its value.
		padded := func(size int) fields { return fields{"pad": strings.Repeat("x", size-len(`{"pad": ""}`))} }
		const bound = 1000
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.MaxPageBytes = bound })
		start := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
		sizes := []int{400, 600, 400, 601, 2000, 2000, 20, 20, 20, 999, 20, 20}
		batch := make([]fields, len(sizes))
		for i, size := range sizes {
			batch[i] = anEvent(id, fields{"event_timestamp": start.Add(time.Duration(i) * time.Second), "event_data": padded(size)})
		}
		storeSome(ctx, own.URL, batch...)
		backwards := slices.Clone(batch)
		slices.Reverse(backwards)

		for _, walk := range []struct {
			order, limit string
			pages        []int
			wanted       []fields
		}{
			{"asc", "1000", []int{2, 1, 1, 1, 1, 3, 1, 2}, batch},
			{"desc", "1000", []int{2, 1, 3, 1, 1, 1, 2, 1}, backwards},
			{"asc", "2", []int{2, 1, 1, 1, 1, 2, 1, 1, 2}, batch},
		} {
			for _, byOffset := range []bool{false, true} {
				var seen []string
				var pages []int
				for more, place := true, []string(nil); more; {
					parameters := append([]string{"correlation_id", id, "order", walk.order, "limit", walk.limit}, place...)
					page := decoded[datastorage.EventPage](storeFind(ctx, own.URL, parameters...), http.StatusOK)
					Expect(page.Data).NotTo(BeEmpty())
					Expect(page.Pagination.Total).To(Equal(len(batch)))
					Expect(page.Pagination.HasMore).To(Equal(page.Pagination.NextCursor != nil))
					seen, pages = append(seen, idsOf(page.Data)...), append(pages, len(page.Data))
					if more = page.Pagination.HasMore; more {
						place = []string{"cursor", *page.Pagination.NextCursor}
					}
					if byOffset {
						place = []string{"offset", strconv.Itoa(len(seen))}
					}
				}
				Expect(pages).To(Equal(walk.pages), "%s, limit %s", walk.order, walk.limit)
				Expect(seen).To(Equal(wireIDs(walk.wanted...)), "every event once, in order")
			}
		}
	}, SpecTimeout(specTimeout))

	It("rejects a cursor of another query", func(ctx SpecContext) {
		storeSome(ctx, base, someEvents(id, 3)...)
		page := decoded[datastorage.EventPage](storeFind(ctx, base, "correlation_id", id, "limit", "1"), http.StatusOK)
		cursor := *page.Pagination.NextCursor
		for _, parameters := range [][]string{
			{"correlation_id", id, "order", "asc"}, {"correlation_id", id, "severity", "high"}, {"correlation_id", id + "x"}, {},
		} {
			problem := decoded[datastorage.Problem](storeFind(ctx, base, append(parameters, "cursor", cursor)...), http.StatusBadRequest)
			Expect(problem.FieldErrors).To(HaveKeyWithValue("cursor", ContainSubstring("another query")))
		}
	}, SpecTimeout(specTimeout))

	It("supports offsets for older clients, newest first", func(ctx SpecContext) {
		batch := make([]fields, 0, 5)
		for i := range cap(batch) {
			batch = append(batch, anEvent(id, fields{"event_timestamp": fmt.Sprintf("2026-01-01T00:00:0%dZ", i)}))
		}
		storeSome(ctx, base, batch...)
		page := decoded[datastorage.EventPage](storeFind(ctx, base, "correlation_id", id, "limit", "2", "offset", "2"), http.StatusOK)
		Expect(idsOf(page.Data)).To(Equal(wireIDs(batch[2], batch[1])))
		Expect(page.Pagination.Total).To(Equal(5))
		Expect(page.Pagination.Offset).To(Equal(2))
		Expect(page.Pagination.HasMore).To(BeTrue())
		beyond := decoded[datastorage.EventPage](storeFind(ctx, base, "correlation_id", id, "offset", "9"), http.StatusOK)
		Expect(beyond.Data).To(BeEmpty())
		Expect(beyond.Pagination.Total).To(Equal(5))
	}, SpecTimeout(specTimeout))

	It("counts exactly up to 10,000, and reports when there are more", func(ctx SpecContext) {
		storeSome(ctx, base, someEvents(id, 10_000)...)
		page := decoded[datastorage.EventPage](storeFind(ctx, base, "correlation_id", id, "limit", "1"), http.StatusOK)
		Expect([]any{page.Pagination.Total, page.Pagination.TotalIsLowerBound}).To(Equal([]any{10_000, false}))
		storeSome(ctx, base, anEvent(id, nil))
		page = decoded[datastorage.EventPage](storeFind(ctx, base, "correlation_id", id, "limit", "1"), http.StatusOK)
		Expect([]any{page.Pagination.Total, page.Pagination.TotalIsLowerBound}).To(Equal([]any{10_000, true}))
	}, SpecTimeout(specTimeout))

	It("answers only when it has everything that the consistency tokens require", func(ctx SpecContext) {
		first, second := anEvent(id, nil), anEvent(id, nil)
		tokens := []string{storeSome(ctx, base, first), storeSome(ctx, base, second)}
		page := decoded[datastorage.EventPage](storeFind(ctx, base, "correlation_id", id, "at_least", tokens[0], "at_least", tokens[1]), http.StatusOK)
		Expect(idsOf(page.Data)).To(ConsistOf(wireIDs(first, second)))

		timeline, _, _ := strings.Cut(strings.TrimPrefix(tokens[0], "p1-"), "-")
		for _, ahead := range []string{"p1-" + timeline + "-ffffffffffff", "p1-fffffff-1"} {
			answer := storeFind(ctx, base, "correlation_id", id, "at_least", ahead)
			problem := decoded[datastorage.Problem](answer, http.StatusServiceUnavailable)
			Expect(problem.Detail).To(ContainSubstring("the token vouches for"))
			Expect(answer.header.Get("Retry-After")).To(Equal("1"))
		}
	}, SpecTimeout(specTimeout))

	It("reads one event by its id", func(ctx SpecContext) {
		event := anEvent(id, nil)
		storeSome(ctx, base, event)
		path := storeEvents + "/"
		stored := decoded[datastorage.StoredEvent](storeCall(ctx, base, http.MethodGet, path+wireIDs(event)[0], nil, nil), http.StatusOK)
		Expect(stored.CorrelationId).To(Equal(id))
		problem := decoded[datastorage.Problem](storeCall(ctx, base, http.MethodGet, path+newEventID().String(), nil, nil), http.StatusNotFound)
		Expect(problem.Detail).To(ContainSubstring("there is no event"))
		problem = decoded[datastorage.Problem](storeCall(ctx, base, http.MethodGet, path+"abc", nil, nil), http.StatusBadRequest)
		Expect(problem.FieldErrors).To(HaveKeyWithValue("event_id", ContainSubstring("UUID")))
		decoded[datastorage.Problem](storeCall(ctx, base, http.MethodGet, path+"a/b", nil, nil), http.StatusNotFound)
	}, SpecTimeout(specTimeout))

	It("returns a client's request id if it is harmless", func(ctx SpecContext) {
		for sent, returned := range map[string]bool{"client-1:a.b": true, "with space": false, strings.Repeat("x", 129): false} {
			answer := storeCall(ctx, base, http.MethodGet, "/nowhere", http.Header{"X-Request-Id": {sent}}, nil)
			decoded[datastorage.Problem](answer, http.StatusNotFound)
			if returned {
				Expect(answer.header.Get("X-Request-ID")).To(Equal(sent))
			} else {
				Expect(answer.header.Get("X-Request-ID")).NotTo(Equal(sent))
			}
		}
	}, SpecTimeout(specTimeout))

	It("serves its OpenAPI document, and the health endpoints of older clients", func(ctx SpecContext) {
		answer := storeCall(ctx, base, http.MethodGet, "/openapi.json", nil, nil)
		Expect(answer.code).To(Equal(http.StatusOK))
		var document struct {
			Paths map[string]any `json:"paths"`
		}
		Expect(json.Unmarshal(answer.body, &document)).To(Succeed())
		Expect(document.Paths).To(HaveKey(storeBatch))
		for _, path := range []string{"/health", "/health/live", "/health/ready"} {
			Expect(storeCall(ctx, base, http.MethodGet, path, nil, nil).code).To(Equal(http.StatusOK), path)
		}
	}, SpecTimeout(specTimeout))
})
