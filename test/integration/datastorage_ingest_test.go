//go:build integration

package integration_test

import (
	"bytes"
	"compress/gzip"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/auth"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/alertmanager"
)

var _ = Describe("DataStorage ingest", func() {
	var base, id string

	BeforeEach(func() {
		base, id = env.DataStorage.URL, env.CorrelationID()
	})

	It("stores a batch, returns its ids in order, and includes it in the next query", func(ctx SpecContext) {
		events := someEvents(id, 20)
		created := decoded[datastorage.BatchCreated](storeJSON(ctx, base, storeBatch, events), http.StatusCreated)
		Expect(created.Created).To(Equal(20))
		Expect(created.ConsistencyToken).NotTo(BeEmpty())
		for i, e := range events {
			Expect(created.EventIds[i].String()).To(Equal(e["event_id"]))
		}
		Expect(idsOf(storedOf(ctx, base, id))).To(ConsistOf(wireIDs(events...)))
	}, SpecTimeout(specTimeout))

	It("stores one event, assigns an id, and returns every field", func(ctx SpecContext) {
		parent := newEventID().String()
		sent := anEvent(id, fields{
			"event_id": nil, "event_timestamp": "2026-01-02T04:04:05.123456789+01:00", "actor_type": "service", "actor_id": "gateway-0",
			"actor_ip": "10.0.0.1", "resource_type": "Pod", "resource_id": "checkout", "namespace": "shop", "cluster_name": "blue",
			"severity": "critical", "duration_ms": 1.2345, "error_code": "E1", "error_message": "it broke", "parent_event_id": parent,
			"retention_days": 30, "is_sensitive": true, "producer_id": "p", "producer_epoch": 2, "producer_seq": 3,
			"event_data": fields{"nested": []any{1.5, "é", nil}},
		})
		created := decoded[datastorage.EventCreated](storeJSON(ctx, base, storeEvents, sent), http.StatusCreated)
		Expect(created.EventId.Version()).To(BeEquivalentTo(7))

		answer := storeCall(ctx, base, http.MethodGet, storeEvents+"/"+created.EventId.String(), nil, nil)
		got := decoded[map[string]any](answer, http.StatusOK)
		Expect(got).To(HaveKey("received_at"))
		delete(got, "received_at")
		delete(sent, "cluster_name")
		maps.Copy(sent, fields{
			"event_id": created.EventId.String(), "event_timestamp": "2026-01-02T03:04:05.123456Z", "event_date": "2026-01-02",
			"cluster_id": "blue", "duration_ms": 1.235,
		})
		Expect(encode(got)).To(MatchJSON(encode(sent)))
	}, SpecTimeout(specTimeout))

	DescribeTable("accepts every form of a body", func(ctx SpecContext, media string, body func(events []fields) []byte) {
		events := someEvents(id, 3)
		header := http.Header{"Content-Type": {media}}
		encoded := body(events)
		switch {
		case bytes.HasPrefix(encoded, []byte{0x1f, 0x8b}):
			header.Set("Content-Encoding", "gzip")
		case bytes.HasPrefix(encoded, []byte{0x28, 0xb5, 0x2f, 0xfd}):
			header.Set("Content-Encoding", "zstd")
		}
		decoded[datastorage.BatchCreated](storeCall(ctx, base, http.MethodPost, storeBatch, header, encoded), http.StatusCreated)
		stored := storedOf(ctx, base, id)
		Expect(idsOf(stored)).To(ConsistOf(wireIDs(events...)))
		Expect(string(stored[0].EventData)).To(HavePrefix(`{"n":`))
	},
		Entry("JSON", "application/json; charset=utf-8", func(events []fields) []byte { return encode(events) }),
		Entry("JSON in gzip", "application/json", func(events []fields) []byte { return gzipped(encode(events)) }),
		Entry("JSON in zstd", "application/json", func(events []fields) []byte { return zstandard(encode(events)) }),
		Entry("NDJSON", "application/x-ndjson", lines),
		Entry("NDJSON in gzip", "application/x-ndjson", func(events []fields) []byte { return gzipped(lines(events)) }),
		Entry("CloudEvents", "application/cloudevents-batch+json", cloudEvents),
	)

	DescribeTable("rejects invalid requests, and says what is wrong, where, and what to do",
		func(ctx SpecContext, code int, slug, detail string, path string, header http.Header, body func() []byte) {
			answer := storeCall(ctx, base, http.MethodPost, path, header, body())
			problem := decoded[datastorage.Problem](answer, code)
			Expect(problem.Type).To(Equal("https://kubernaut.ai/problems/" + slug))
			Expect(problem.Detail).To(ContainSubstring(detail))
			Expect(problem.Instance).To(Equal(path))
		},
		Entry("an unparsable body", 400, "validation-error", "line 2, column 1", storeBatch, alertmanager.JSON(), text("[{},\n}]")),
		Entry("an empty body", 400, "validation-error", "empty", storeBatch, alertmanager.JSON(), text("")),
		Entry("no array", 400, "validation-error", "must be a JSON array", storeBatch, alertmanager.JSON(), text("{}")),
		Entry("an empty batch", 400, "validation-error", "no event", storeBatch, alertmanager.JSON(), text("[]")),
		Entry("a deep body", 400, "validation-error", "nested more than", storeBatch, alertmanager.JSON(),
			func() []byte { return slices.Concat(bytes.Repeat([]byte("["), 100), bytes.Repeat([]byte("]"), 100)) }),
		Entry("too many events", 413, "request-entity-too-large", "more than 10000 events", storeBatch, alertmanager.JSON(),
			func() []byte { return encode(make([]fields, 10_001)) }),
		Entry("an oversized body", 413, "request-entity-too-large", "larger than 16777216 bytes", storeBatch, alertmanager.JSON(),
			func() []byte { return bytes.Repeat([]byte(" "), 16<<20+1) }),
		Entry("a body that grows beyond the limit in gzip", 413, "request-entity-too-large", "after decompression", storeBatch,
			headerOf("Content-Encoding", "gzip"), func() []byte { return gzipped(bytes.Repeat([]byte(" "), 64<<20)) }),
		Entry("a body that grows beyond the limit in zstd", 413, "request-entity-too-large", "after decompression", storeBatch,
			headerOf("Content-Encoding", "zstd"), func() []byte { return zstandard(bytes.Repeat([]byte(" "), 64<<20)) }),
		Entry("a broken gzip", 400, "bad-request", "not usable gzip", storeBatch, headerOf("Content-Encoding", "gzip"), text("[]")),
		Entry("a wrong content type", 415, "unsupported-media-type", `"text/plain" is not taken`, storeBatch,
			http.Header{"Content-Type": {"text/plain"}}, text("[]")),
		Entry("no content type", 415, "unsupported-media-type", "send application/json", storeEvents, nil, text("{}")),
		Entry("NDJSON for one event", 415, "unsupported-media-type", "send application/json", storeEvents,
			http.Header{"Content-Type": {"application/x-ndjson"}}, text("{}")),
		Entry("an unknown encoding", 415, "unsupported-media-type", `"br" is not taken`, storeBatch, headerOf("Content-Encoding", "br"), text("[]")),
		Entry("an unknown route", 404, "not-found", "nothing under this path", "/api/v2/audit/events", alertmanager.JSON(), text("[]")),
		Entry("a method that a path does not take", 405, "method-not-allowed", "does not take this method", "/openapi.json", alertmanager.JSON(), text("[]")),
	)

	DescribeTable("names the invalid field of an event", func(ctx SpecContext, field string, value any, reason string) {
		event := anEvent(id, fields{field: value})
		problem := decoded[datastorage.Problem](storeJSON(ctx, base, storeEvents, event), http.StatusBadRequest)
		Expect(problem.FieldErrors).To(HaveLen(1))
		Expect(problem.FieldErrors).To(HaveKeyWithValue(field, ContainSubstring(reason)))
		Expect(storedOf(ctx, base, id)).To(BeEmpty())
	},
		Entry("unknown", "colour", "red", "not a known field"),
		Entry("missing", "event_type", nil, "required"),
		Entry("NUL in a text", "severity", "a\x00b", "NUL"),
		Entry("NUL in the data", "event_data", fields{"a": []any{fields{"b": "\x00"}}}, "$.a[0].b"),
		Entry("outcome", "event_outcome", "maybe", "success, failure or pending"),
	)

	It("rejects event data beyond its limit", func(ctx SpecContext) {
		large := anEvent(id, fields{"event_data": fields{"k": string(bytes.Repeat([]byte("x"), 1<<20))}})
		problem := decoded[datastorage.Problem](storeJSON(ctx, base, storeBatch, []fields{anEvent(id, nil), large}), http.StatusRequestEntityTooLarge)
		Expect(problem.Items).To(HaveLen(1))
		Expect(problem.Items[0].Index).To(Equal(1))
		Expect(problem.Items[0].Code).To(Equal(datastorage.ItemProblemCode("too_large")))
	}, SpecTimeout(specTimeout))

	It("stores nothing of a batch with invalid events, and names each of them", func(ctx SpecContext) {
		events := someEvents(id, 5)
		events[1]["event_outcome"] = "maybe"
		events[3]["colour"] = "red"
		problem := decoded[datastorage.Problem](storeJSON(ctx, base, storeBatch, events), http.StatusBadRequest)
		Expect(problem.Items).To(HaveLen(2))
		for i, index := range []int{1, 3} {
			item := problem.Items[i]
			Expect(item.Index).To(Equal(index))
			Expect(item.EventId.String()).To(Equal(events[index]["event_id"]))
			Expect(item.Code).To(Equal(datastorage.ItemProblemCode("invalid")))
		}
		Expect(problem.Items[1].FieldErrors).To(HaveKey("colour"))
		Expect(storedOf(ctx, base, id)).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("stores the valid events of a batch if the client asks for it", func(ctx SpecContext) {
		events := someEvents(id, 4)
		events[1]["event_outcome"] = "maybe"
		events[3] = events[2]
		answer := storeJSON(ctx, base, storeBatch, events, "Prefer", "respond-async, handling=lenient")
		results := decoded[datastorage.BatchResults](answer, http.StatusMultiStatus)
		Expect([]int{results.Created, results.Duplicates, results.Rejected}).To(Equal([]int{2, 1, 1}))
		statuses := make([]int, len(results.Results))
		for i, r := range results.Results {
			Expect(r.Index).To(Equal(i))
			statuses[i] = r.Status
		}
		Expect(statuses).To(Equal([]int{201, 400, 201, 200}))
		Expect(idsOf(storedOf(ctx, base, id))).To(ConsistOf(wireIDs(events[0], events[2])))
	}, SpecTimeout(specTimeout))

	It("recognizes a repeated event, whatever else changed", func(ctx SpecContext) {
		events := someEvents(id, 3)
		decoded[datastorage.BatchCreated](storeJSON(ctx, base, storeBatch, events), http.StatusCreated)
		for i, e := range events {
			e["event_timestamp"], e["duration_ms"] = "2026-01-01T00:00:00Z", i
			e["producer_id"], e["producer_epoch"], e["producer_seq"] = "again", 2, i
		}
		again := decoded[datastorage.BatchCreated](storeJSON(ctx, base, storeBatch, append(events, events[0])), http.StatusCreated)
		Expect([]int{again.Created, again.Duplicates}).To(Equal([]int{0, 4}))
		Expect(storedOf(ctx, base, id)).To(HaveLen(3))
	}, SpecTimeout(specTimeout))

	DescribeTable("recognizes an id with no time or an unusual one", func(ctx SpecContext, pattern string) {
		event := anEvent(id, fields{"event_id": pattern[:24] + newEventID().String()[24:]})
		decoded[datastorage.EventCreated](storeJSON(ctx, base, storeEvents, event), http.StatusCreated)
		event["event_timestamp"] = "2020-01-01T00:00:00Z"
		decoded[datastorage.EventCreated](storeJSON(ctx, base, storeEvents, event), http.StatusCreated)
		Expect(idsOf(storedOf(ctx, base, id))).To(Equal(wireIDs(event)))
	},
		Entry("random, version 4", "0190163d-8694-439b-aea5-000000000000"),
		Entry("derived, version 8", "01a163d2-8694-839b-aea5-000000000000"),
		Entry("of 1970", "00000000-0000-7000-8000-000000000000"),
		Entry("of the year 10889", "ffffffff-ffff-7000-8000-000000000000"),
	)

	It("stores each event once when many clients send the same batch concurrently", func(ctx SpecContext) {
		const clients, size = 24, 50
		body := encode(someEvents(id, size))
		answers := make([]storeAnswer, clients)
		errs := make([]error, clients)
		var group sync.WaitGroup
		for i := range clients {
			group.Go(func() {
				answers[i], errs[i] = tryStoreCall(ctx, base, http.MethodPost, storeBatch, alertmanager.JSON(), body)
			})
		}
		group.Wait()
		created, duplicates := 0, 0
		for i, answer := range answers {
			Expect(errs[i]).NotTo(HaveOccurred())
			stored := decoded[datastorage.BatchCreated](answer, http.StatusCreated)
			created += stored.Created
			duplicates += stored.Duplicates
		}
		Expect([]int{created, duplicates}).To(Equal([]int{size, (clients - 1) * size}))
		Expect(storedOf(ctx, base, id)).To(HaveLen(size))
	}, SpecTimeout(specTimeout))

	It("does not fail other requests of a transaction because of one that the database rejects", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Writers = 1 })
		conn := connect(ctx, own.DatabaseURL())
		execute(ctx, conn, `ALTER TABLE audit_events ADD CONSTRAINT no_cursed_events CHECK (severity <> 'cursed')`)
		good, bad := someEvents(id, 3), someEvents(id, 3)
		bad[1]["severity"] = "cursed"
		lenient := someEvents(id, 3)
		lenient[2]["severity"] = "cursed"

		requests := [][]fields{bad, good, lenient}
		headers := []http.Header{alertmanager.JSON(), alertmanager.JSON(), headerOf("Prefer", "handling=lenient")}
		answers := make([]storeAnswer, len(requests))
		errs := make([]error, len(requests))
		tx, err := conn.Begin(ctx)
		Expect(err).NotTo(HaveOccurred())
		// Requests that arrive while the table is locked queue behind the first.
		_, err = tx.Exec(ctx, `LOCK TABLE audit_events IN SHARE MODE`)
		Expect(err).NotTo(HaveOccurred())
		var group sync.WaitGroup
		for i, events := range requests {
			body := encode(events)
			group.Go(func() {
				answers[i], errs[i] = tryStoreCall(ctx, own.URL, http.MethodPost, storeBatch, headers[i], body)
			})
		}
		Expect(tx.Rollback(ctx)).To(Succeed())
		group.Wait()
		Expect(errs).To(HaveEach(BeNil()))
		problem := decoded[datastorage.Problem](answers[0], http.StatusBadRequest)
		Expect(problem.Items).To(HaveLen(1))
		Expect(problem.Items[0].Index).To(Equal(1))
		Expect(problem.Items[0].Detail).To(ContainSubstring("no_cursed_events"))
		decoded[datastorage.BatchCreated](answers[1], http.StatusCreated)
		Expect(decoded[datastorage.BatchResults](answers[2], http.StatusMultiStatus).Rejected).To(Equal(1))
		Expect(idsOf(storedOf(ctx, own.URL, id))).To(ConsistOf(wireIDs(append(good, lenient[:2]...)...)))
	}, SpecTimeout(specTimeout))

	It("does not hold up other requests of a transaction because of one whose month gets its partition", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Writers = 1 })
		conn := connect(ctx, own.DatabaseURL())
		march := time.Date(2019, time.March, 15, 0, 0, 0, 0, time.UTC)
		// What maintenance that was killed leaves behind.
		execute(ctx, conn, `ALTER TABLE audit_events_default ADD CONSTRAINT audit_events_default_room_y2019m03
			CHECK (NOT (id_time IS NOT NULL AND id_time >= '2019-03-01' AND id_time < '2019-04-01')) NOT VALID`)
		tx, err := conn.Begin(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = tx.Exec(ctx, `LOCK TABLE audit_events IN SHARE MODE`)
		Expect(err).NotTo(HaveOccurred())
		const others = 7
		var group sync.WaitGroup
		held := make([]storeAnswer, 1)
		answers := make([]storeAnswer, others)
		errs := make([]error, others+1)
		send := func(to *storeAnswer, err *error, changes fields) {
			body := encode(anEvent(id, changes))
			group.Go(func() {
				*to, *err = tryStoreCall(ctx, own.URL, http.MethodPost, storeEvents, alertmanager.JSON(), body)
			})
		}
		// Requests that arrive while the table is locked queue behind the first.
		send(&answers[0], &errs[0], nil)
		for watcher := connect(ctx, own.DatabaseURL()); lockWaits(ctx, watcher, "audit_events") == 0; {
		}
		send(&held[0], &errs[others], fields{"event_id": idAt(march).String()})
		for i := 1; i < others; i++ {
			send(&answers[i], &errs[i], nil)
		}
		Expect(tx.Rollback(ctx)).To(Succeed())
		group.Wait()
		Expect(errs).To(HaveEach(BeNil()))
		decoded[datastorage.Problem](held[0], http.StatusServiceUnavailable)
		for _, answer := range answers {
			decoded[datastorage.EventCreated](answer, http.StatusCreated)
		}
		execute(ctx, conn, `ALTER TABLE audit_events_default DROP CONSTRAINT audit_events_default_room_y2019m03`)
		decoded[datastorage.EventCreated](storeJSON(ctx, own.URL, storeEvents, anEvent(id, fields{"event_id": idAt(march).String()})), http.StatusCreated)
	}, SpecTimeout(specTimeout))

	It("answers 503 at once when its queue is full, and stores what it accepted", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Writers, o.QueueEvents = 1, 1 })
		conn := connect(ctx, own.DatabaseURL())
		tx, err := conn.Begin(ctx)
		Expect(err).NotTo(HaveOccurred())
		_, err = tx.Exec(ctx, `LOCK TABLE audit_events IN SHARE MODE`)
		Expect(err).NotTo(HaveOccurred())
		// The writer holds at most one, the queue another: the others do not fit.
		const clients = 10
		answers := make(chan storeAnswer, clients)
		for range clients {
			body := encode(anEvent(id, nil))
			go func() {
				defer GinkgoRecover()
				answers <- storeCall(ctx, own.URL, http.MethodPost, storeEvents, alertmanager.JSON(), body)
			}()
		}
		refused := <-answers
		problem := decoded[datastorage.Problem](refused, http.StatusServiceUnavailable)
		Expect(problem.Detail).To(ContainSubstring("waiting to be stored"))
		Expect(refused.header.Get("Retry-After")).To(Equal("1"))
		Expect(tx.Rollback(ctx)).To(Succeed())
		created := 0
		for range clients - 1 {
			if answer := <-answers; answer.code != http.StatusServiceUnavailable {
				decoded[datastorage.EventCreated](answer, http.StatusCreated)
				created++
			}
		}
		Expect(created).To(BeNumerically(">", 0))
		Expect(storedOf(ctx, own.URL, id)).To(HaveLen(created))
	}, SpecTimeout(specTimeout))

	It("stores the caller of each event", func(ctx SpecContext) {
		tokens := filepath.Join(GinkgoT().TempDir(), "tokens")
		listed := tokenLine("gateway", "g", "rights=read,write", "types=gateway") + tokenLine("intruder", "i", "rights=write", "types=*")
		Expect(os.WriteFile(tokens, []byte(listed), 0o600)).To(Succeed())
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth = auth.Flags{Mode: auth.ModeTokenFile, File: tokens} })

		event := anEvent(id, nil)
		for _, header := range [][]string{nil, {"Authorization", "Bearer unknown"}} {
			answer := storeJSON(ctx, own.URL, storeEvents, event, header...)
			decoded[datastorage.Problem](answer, http.StatusUnauthorized)
			Expect(answer.header.Get("WWW-Authenticate")).To(HavePrefix("Bearer"))
		}
		decoded[datastorage.EventCreated](storeJSON(ctx, own.URL, storeEvents, event, "Authorization", "Bearer g"), http.StatusCreated)
		claimed := decoded[datastorage.EventCreated](storeJSON(ctx, own.URL, storeEvents, event, "Authorization", "Bearer i"), http.StatusCreated)
		Expect(claimed.StoredAs).NotTo(BeNil(), "another caller's event with this id is another event")

		path, _ := event["event_id"].(string)
		decoded[datastorage.Problem](storeCall(ctx, own.URL, http.MethodGet, storeEvents+"/"+path, nil, nil), http.StatusUnauthorized)
		stored := decoded[datastorage.StoredEvent](storeCall(ctx, own.URL, http.MethodGet, storeEvents+"/"+path, headerOf("Authorization", "Bearer g"), nil), http.StatusOK)
		Expect([]string{*stored.RecordedBy, *stored.ActorId}).To(Equal([]string{"gateway", "gateway"}))
	}, SpecTimeout(specTimeout))
})

func text(s string) func() []byte { return func() []byte { return []byte(s) } }

func gzipped(plain []byte) []byte {
	GinkgoHelper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(plain)
	Expect(err).NotTo(HaveOccurred())
	Expect(w.Close()).To(Succeed())
	return out.Bytes()
}

func zstandard(plain []byte) []byte {
	GinkgoHelper()
	w, err := zstd.NewWriter(nil)
	Expect(err).NotTo(HaveOccurred())
	return w.EncodeAll(plain, nil)
}

func lines(events []fields) []byte {
	var out bytes.Buffer
	for _, e := range events {
		out.Write(encode(e))
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func cloudEvents(events []fields) []byte {
	cloud := make([]fields, len(events))
	for i, e := range events {
		cloud[i] = fields{
			"specversion": "1.0", "id": e["event_id"], "source": "/gateway/0", "type": e["event_type"], "time": e["event_timestamp"],
			"subject": e["correlation_id"], "data": e["event_data"], "eventcategory": e["event_category"],
			"eventaction": e["event_action"], "eventoutcome": e["event_outcome"], "durationms": "1.5",
		}
	}
	return encode(cloud)
}
