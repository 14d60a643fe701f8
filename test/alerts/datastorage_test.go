package alerts_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/devstack/postgres"
	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("DataStorage:", func() {
	for alert, replicas := range map[string]int32{"KubernautDataStorageNotReady": 1, "KubernautDataStorageDegraded": 2} {
		causes(alert, func(ctx SpecContext) {
			s := site(ctx)
			store := s.store(ctx, nil)
			s.clusterState(ctx)
			s.scale(ctx, storageName, replicas)
			s.report(ctx, storageName, replicas)
			m := watch(ctx, s, alert)
			m.pass(ctx, time.Minute)
			s.report(ctx, storageName, replicas-1)
			a := m.fires(ctx, alert)
			(&reader{site: s, about: store}).looks(ctx, a, SatisfyAll(ContainSubstring(store.pod), ContainSubstring("ok")))
			s.report(ctx, storageName, replicas)
			m.ends(ctx, alert)
		})
	}

	causes("KubernautDatabaseAway", func(ctx SpecContext) {
		s := site(ctx)
		server := privateServer(ctx)
		store := s.store(ctx, func(o *datastorage.Options) { o.DatabaseURL = trail(ctx, server) })
		m := watch(ctx, s, "KubernautDatabaseAway")
		m.pass(ctx, time.Minute)
		Expect(server.Kill(ctx)).To(Succeed())
		a := m.fires(ctx, "KubernautDatabaseAway")
		(&reader{site: s, about: store}).looks(ctx, a, SatisfyAll(
			ContainSubstring("database away"), ContainSubstring("datastorage_database_up 0"), ContainSubstring("datastorage_database_writable 0")))
		Expect(server.Restart(ctx)).To(Succeed())
		m.ends(ctx, "KubernautDatabaseAway")
		Expect(string(store.log.text())).To(ContainSubstring("database back"))
	})

	causes("KubernautDatabaseReplicatesAsynchronously", func(ctx SpecContext) {
		s := site(ctx)
		server := privateServer(ctx)
		url := trail(ctx, server)
		standby, err := server.Standby(ctx, "follower")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(standby.Stop)
		store := s.store(ctx, func(o *datastorage.Options) { o.DatabaseURL = url })
		m := watch(ctx, s, "KubernautDatabaseReplicatesAsynchronously")
		a := m.fires(ctx, "KubernautDatabaseReplicatesAsynchronously")
		r := reader{site: s, about: store, values: map[string]string{"$DATABASE_URL": url}}
		r.looks(ctx, a, MatchRegexp(`follower *\| *async`))
		Expect(server.Set(ctx, "synchronous_standby_names", "follower")).To(Succeed())
		m.ends(ctx, "KubernautDatabaseReplicatesAsynchronously")
	})

	causes("KubernautDatabaseClientsVanish", func(ctx SpecContext) {
		s := site(ctx)
		store := s.store(ctx, nil)
		m := watch(ctx, s, "KubernautDatabaseClientsVanish")
		m.pass(ctx, time.Minute)
		hung := hang(ctx, s)
		a := m.fires(ctx, "KubernautDatabaseClientsVanish")
		Expect(<-hung).To(MatchError(ContainSubstring("57P01")), "its connection is ended")
		r := reader{site: s, about: store, values: map[string]string{"$DATABASE_URL": s.database}}
		r.looks(ctx, a, SatisfyAll(ContainSubstring("ended transactions whose client had vanished"), ContainSubstring(store.pod), ContainSubstring("idle")))
		m.ends(ctx, "KubernautDatabaseClientsVanish")
	})

	causes("KubernautQueriesRefused", func(ctx SpecContext) {
		s := site(ctx)
		store := s.store(ctx, func(o *datastorage.Options) { o.QueryWait = time.Second })
		m := watch(ctx, s, "KubernautQueriesRefused")
		m.pass(ctx, time.Minute)
		release := lock(ctx, s, "audit_events_untimed")
		find := store.url + storeEvents + "?correlation_id=" + testenv.Unique("none-*")
		var slow sync.WaitGroup
		query := func() { slow.Go(func() { defer GinkgoRecover(); ask(ctx, http.MethodGet, find, "") }) }
		for range manyQueries {
			query()
		}
		a := m.fires(ctx, "KubernautQueriesRefused", query)
		(&reader{site: s, about: store}).looks(ctx, a, MatchRegexp(`datastorage_queries_without_connection_total [1-9]`))
		release(ctx)
		slow.Wait()
		m.ends(ctx, "KubernautQueriesRefused", func() { Expect(ask(ctx, http.MethodGet, find, "")).To(Equal(http.StatusOK)) })
	})

	causes("KubernautDataStorageQueueFilling", func(ctx SpecContext) {
		const bound, events = 1000, 300
		s := site(ctx)
		store := s.store(ctx, func(o *datastorage.Options) { o.QueueEvents = bound })
		m := watch(ctx, s, "KubernautDataStorageQueueFilling")
		m.pass(ctx, time.Minute)
		release := lock(ctx, s, "audit_events")
		var waiting sync.WaitGroup
		for last := 0.0; last <= bound-events; last = store.sample(ctx, "datastorage_ingest_queue_events") {
			body := batch(events, "")
			waiting.Go(func() { defer GinkgoRecover(); record(ctx, store, body) })
		}
		a := m.fires(ctx, "KubernautDataStorageQueueFilling")
		release(ctx)
		(&reader{site: s, about: store}).looks(ctx, a, ContainSubstring("datastorage_ingest_queue_events"))
		waiting.Wait()
		m.ends(ctx, "KubernautDataStorageQueueFilling")
	})

	causes("KubernautDataStorageRefusesForLoad", func(ctx SpecContext) {
		const bound, inWriters = 100, 1000
		s := site(ctx)
		store := s.store(ctx, func(o *datastorage.Options) { o.QueueEvents = bound })
		m := watch(ctx, s, "KubernautDataStorageRefusesForLoad")
		m.pass(ctx, time.Minute)
		release := lock(ctx, s, "audit_events")
		var waiting sync.WaitGroup
		for range inWriters / bound {
			body := batch(bound, "")
			waiting.Go(func() { defer GinkgoRecover(); record(ctx, store, body) })
		}
		one := batch(bound, "")
		a := m.fires(ctx, "KubernautDataStorageRefusesForLoad", func() { record(ctx, store, one) })
		(&reader{site: s, about: store}).looks(ctx, a, ContainSubstring("datastorage_ingest_queue_events"))
		release(ctx)
		waiting.Wait()
		m.ends(ctx, "KubernautDataStorageRefusesForLoad", func() { Expect(record(ctx, store, one)).To(Equal(http.StatusCreated)) })
	})

	causes("KubernautMemoryExhausted", func(ctx SpecContext) {
		const large, many, eachSteps = 1 << 20, 16, 20
		const refused = `kubernaut_memory_refused_total{use="bodies"}`
		s := site(ctx)
		store := s.store(ctx, func(o *datastorage.Options) { o.MaxBodyBytes, o.MaxBodyMemory = 4<<20, 48<<20 })
		m := watch(ctx, s, "KubernautMemoryExhausted")
		m.pass(ctx, time.Minute)
		release := lock(ctx, s, "audit_events")
		body := batch(3, strings.Repeat("x", large-1000))
		var waiting sync.WaitGroup
		steps := 0
		a := m.fires(ctx, "KubernautMemoryExhausted", func() {
			if steps++; steps%eachSteps != 1 {
				return
			}
			before := store.sample(ctx, refused)
			for range many {
				waiting.Go(func() { defer GinkgoRecover(); record(ctx, store, body) })
			}
			store.awaitSample(ctx, refused, before)
		})
		Expect(a.Annotations.Get("summary")).To(HaveSuffix("refuses requests because its memory for bodies is in use"))
		(&reader{site: s, about: store}).looks(ctx, a, SatisfyAll(
			MatchRegexp(`kubernaut_memory_refused_total\{use="bodies"\} [1-9]`), ContainSubstring("kubernaut_memory_bound_bytes")))
		release(ctx)
		waiting.Wait()
		m.ends(ctx, "KubernautMemoryExhausted")
	})

	causes("KubernautFrontProxyUnknown", func(ctx SpecContext) {
		s := site(ctx)
		user := testenv.Unique("datastorage-*")
		store := s.store(ctx, func(o *datastorage.Options) {
			o.TLS, o.AggregatedListen, o.RESTConfig = certificate(365*24*time.Hour), anyPort, acting(user)
		})
		m := watch(ctx, s, "KubernautFrontProxyUnknown")
		a := m.fires(ctx, "KubernautFrontProxyUnknown")
		(&reader{site: s, about: store}).looks(ctx, a, SatisfyAll(ContainSubstring("front proxy"), ContainSubstring("v1.audit.kubernaut.ai")))
		grantIn(ctx, "kube-system", user, rule("", []string{"configmaps"}, "get", "list", "watch"))
		grant(ctx, user, rule("authorization.k8s.io", []string{"subjectaccessreviews"}, "create"))
		m.ends(ctx, "KubernautFrontProxyUnknown")
	})

	causes("KubernautPeopleCannotCall", func(ctx SpecContext) {
		s := site(ctx)
		s.apiServer()
		m := watch(ctx, s, "KubernautPeopleCannotCall")
		m.pass(ctx, time.Minute)
		restore := misdirect(ctx)
		a := m.fires(ctx, "KubernautPeopleCannotCall")
		r := reader{site: s, tolerates: "the server doesn't have a resource type"}
		r.looks(ctx, a, SatisfyAll(ContainSubstring("v1.audit.kubernaut.ai"), ContainSubstring("FailedDiscoveryCheck")))
		restore(ctx)
		m.ends(ctx, "KubernautPeopleCannotCall")
	}, Serial)
})

// manyQueries are more than DataStorage has connections for queries.
const manyQueries = 40

// privateServer starts a PostgreSQL for one spec.
func privateServer(ctx context.Context) *postgres.Server {
	GinkgoHelper()
	server, err := postgres.StartPrivate(ctx, postgres.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	return server
}

// trail makes a database with DataStorage's schema.
func trail(ctx context.Context, server *postgres.Server) string {
	GinkgoHelper()
	url, err := auditdb.Create(ctx, server, "trail")
	Expect(err).NotTo(HaveOccurred())
	return url
}

// lock locks a table of the site's database until release.
func lock(ctx context.Context, s *siteState, table string) (release func(context.Context)) {
	GinkgoHelper()
	conn, err := pgx.Connect(ctx, s.database)
	Expect(err).NotTo(HaveOccurred())
	locked, err := conn.Begin(ctx)
	Expect(err).NotTo(HaveOccurred())
	_, err = locked.Exec(ctx, "LOCK TABLE "+pgx.Identifier{table}.Sanitize()+" IN ACCESS EXCLUSIVE MODE")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	return func(ctx context.Context) {
		GinkgoHelper()
		Expect(locked.Rollback(ctx)).To(Succeed())
	}
}

// hang begins to store events as a replica of DataStorage does, and sends nothing. What became of it comes later.
func hang(ctx context.Context, s *siteState) <-chan error {
	GinkgoHelper()
	serving, err := auditdb.Serving(s.database)
	Expect(err).NotTo(HaveOccurred())
	conn, err := pgx.Connect(ctx, serving)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	nothing, never := io.Pipe()
	DeferCleanup(never.Close)
	ended := make(chan error, 1)
	go func() {
		_, err := conn.PgConn().CopyFrom(ctx, nothing, `COPY audit_events FROM STDIN`)
		ended <- err
	}()
	return ended
}

// batch is the body of a request that records some events, each with a text.
func batch(events int, text string) []byte {
	GinkgoHelper()
	type fields map[string]any
	all := make([]fields, events)
	for i := range all {
		e := anEvent(map[string]string{"text": text})
		all[i] = fields{
			"event_id": e.ID, "version": e.Version, "event_type": e.Type, "event_category": e.Category, "event_action": e.Action,
			"event_outcome": e.Outcome, "correlation_id": e.CorrelationID, "event_timestamp": e.Timestamp, "event_data": e.Data,
		}
	}
	body, err := json.Marshal(all)
	Expect(err).NotTo(HaveOccurred())
	return body
}

// record sends a batch and returns the status of the answer.
func record(ctx context.Context, store *service, body []byte) int {
	GinkgoHelper()
	return recordAs(ctx, store, "", body)
}

// recordAs is the same with a token.
func recordAs(ctx context.Context, store *service, token string, body []byte) int {
	GinkgoHelper()
	return post(ctx, store, storeEvents+"/batch", token, body)
}

// post sends a JSON document, with a token unless that is empty, and returns the status of the answer.
func post(ctx context.Context, store *service, path, token string, body []byte) int {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, store.url+path, bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := cmp.Or(store.client, http.DefaultClient).Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}

// scale changes how many replicas a Deployment should have.
func (s *siteState) scale(ctx context.Context, name string, replicas int32) {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, d)).To(Succeed())
	d.Spec.Replicas = &replicas
	Expect(env.Update(ctx, d)).To(Succeed())
}

// misdirect makes the API server look for the aggregated API where nobody listens, until restore.
func misdirect(ctx context.Context) (restore func(context.Context)) {
	GinkgoHelper()
	registration := &unstructured.Unstructured{}
	registration.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	registration.SetName("v1.audit.kubernaut.ai")
	Expect(env.Get(ctx, client.ObjectKeyFromObject(registration), registration)).To(Succeed())
	good, _, err := unstructured.NestedFieldCopy(registration.Object, "spec", "service", "port")
	Expect(err).NotTo(HaveOccurred())
	direct := func(ctx context.Context, port any) {
		GinkgoHelper()
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"service": map[string]any{"port": port}}})
		Expect(err).NotTo(HaveOccurred())
		Expect(env.Patch(ctx, registration.DeepCopy(), client.RawPatch("application/merge-patch+json", patch))).To(Succeed())
	}
	restored := false
	restore = func(ctx context.Context) {
		GinkgoHelper()
		if !restored {
			direct(ctx, good)
			restored = true
		}
	}
	DeferCleanup(restore)
	direct(ctx, json.Number(freePort(ctx)))
	return restore
}
