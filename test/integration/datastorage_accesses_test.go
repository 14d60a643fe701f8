//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audittrail/podflush"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/testenv"
)

// Specs about the events that say who read what, and whose requests were denied.

// readEvent is the data of such an event.
type readEvent struct {
	User struct {
		Name   string   `json:"name"`
		UID    string   `json:"uid"`
		Groups []string `json:"groups"`
	} `json:"user"`
	Kind     string              `json:"kind"`
	Requests int                 `json:"requests"`
	Failed   int                 `json:"failed"`
	Events   int                 `json:"events"`
	Filters  map[string][]string `json:"filters"`
}

// readsOf flushes a DataStorage and returns what its trail says of a caller's reads, by their kind and oldest first.
func readsOf(ctx context.Context, managementURL, url, caller string, header http.Header) map[string][]readEvent {
	GinkgoHelper()
	Expect(storeCall(ctx, managementURL, http.MethodPost, "/audit/flush", nil, nil).code).To(Equal(http.StatusOK))
	path := storeEvents + "?event_type=datastorage.events.read&order=asc&recorded_by=kubernaut:datastorage&correlation_id=reader:" + caller
	page := decoded[datastorage.EventPage](storeCall(ctx, url, http.MethodGet, path, header, nil), http.StatusOK)
	reads := map[string][]readEvent{}
	for i := range page.Data {
		e := &page.Data[i]
		Expect(e.EventCategory).To(Equal("security"))
		Expect(e.ProducerId).NotTo(BeNil())
		if caller != "" {
			Expect(*e.ActorId).To(Equal(caller))
		}
		var r readEvent
		Expect(json.Unmarshal(e.EventData, &r)).To(Succeed())
		reads[r.Kind] = append(reads[r.Kind], r)
	}
	return reads
}

// deniedEvent is the data of an event about denied requests.
type deniedEvent struct {
	User *struct {
		Name   string   `json:"name"`
		UID    string   `json:"uid"`
		Groups []string `json:"groups"`
	} `json:"user"`
	Network  string `json:"network"`
	Status   int    `json:"status"`
	Reason   string `json:"reason"`
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	Method   string `json:"method"`
	Route    string `json:"route"`
	Requests int    `json:"requests"`
}

// denialsOf flushes a DataStorage for a trail and returns what it says of denied requests, as JSON too.
func denialsOf(ctx context.Context, managementURL, url, correlationID string, header http.Header) (denials []deniedEvent, text string) {
	GinkgoHelper()
	Expect(storeCall(ctx, managementURL, http.MethodPost, "/audit/flush?correlation_id="+correlationID, nil, nil).code).To(Equal(http.StatusOK))
	path := storeEvents + "?event_type=datastorage.request.denied&order=asc&recorded_by=kubernaut:datastorage&correlation_id=" + correlationID
	answer := storeCall(ctx, url, http.MethodGet, path, header, nil)
	page := decoded[datastorage.EventPage](answer, http.StatusOK)
	for i := range page.Data {
		e := &page.Data[i]
		Expect(e.EventCategory).To(Equal("security"))
		Expect(e.EventOutcome).To(BeEquivalentTo("failure"))
		var d deniedEvent
		Expect(json.Unmarshal(e.EventData, &d)).To(Succeed())
		denials = append(denials, d)
	}
	return denials, string(answer.body)
}

var _ = Describe("DataStorage records denied requests", func() {
	It("sums up who was denied which permission, and where requests without a known token came from", func(ctx SpecContext) {
		database, err := env.NewDatabase(ctx) // of its own: all requests of the suite come from the same network
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(database.Drop(ctx)).To(Succeed()) })
		own := storeOn(ctx, database.URL, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig = byCluster(), env.Config })
		reader, stranger := newAccount(ctx, "reader"), newAccount(ctx, "stranger")
		reader.may(ctx, auditGroup, "events", "list")
		reads, known, elsewhere := bearing(reader.token(ctx)), bearing(stranger.token(ctx)), bearing(stranger.token(ctx, "somebody-else"))
		denied := func(code int, method, path string, header http.Header) {
			GinkgoHelper()
			Expect(storeCall(ctx, own.APIURL(), method, path, header, nil).code).To(Equal(code), path)
		}
		id := env.CorrelationID()
		denied(http.StatusForbidden, http.MethodGet, storeEvents+"?correlation_id="+id, known)
		denied(http.StatusForbidden, http.MethodGet, storeEvents+"?correlation_id="+id, known)
		denied(http.StatusForbidden, http.MethodDelete, "/api/v1/audit/legal-hold/"+id, known)
		denied(http.StatusUnauthorized, http.MethodGet, storeEvents+"/01890a5d-ac96-774b-bcce-b302099a8057", nil)
		denied(http.StatusUnauthorized, http.MethodPost, storeEvents, nil)
		denied(http.StatusUnauthorized, http.MethodPost, storeEvents, bearing("s3cret-"+id))
		denied(http.StatusUnauthorized, http.MethodGet, storeEvents, elsewhere)
		// None of these is denied.
		denied(http.StatusNotFound, http.MethodGet, "/"+id, nil)
		denied(http.StatusOK, http.MethodGet, "/openapi.json", nil)
		denied(http.StatusOK, http.MethodGet, "/health/ready", nil)

		denials, text := denialsOf(ctx, own.ManagementURL(), own.APIURL(), "reader:"+stranger.user(), reads)
		Expect(denials).To(ConsistOf(
			And(HaveField("Status", 403), HaveField("Reason", ""), HaveField("Verb", "list"), HaveField("Resource", "events."+auditGroup),
				HaveField("Method", "GET"), HaveField("Route", storeEvents), HaveField("Requests", 2), HaveField("Network", ""),
				HaveField("User.Name", stranger.user()), HaveField("User.UID", string(stranger.UID)), HaveField("User.Groups", ContainElement("system:serviceaccounts"))),
			And(HaveField("Verb", "delete"), HaveField("Resource", "legalholds."+auditGroup), HaveField("Method", "DELETE"),
				HaveField("Route", "/api/v1/audit/legal-hold/:correlation_id"), HaveField("Requests", 1)),
		))
		Expect(text).NotTo(ContainSubstring(id), "paths and filters of denied requests are not recorded")

		denials, text = denialsOf(ctx, own.ManagementURL(), own.APIURL(), "denied:127.0.0.0/24", reads)
		of := func(reason, method, route string) any {
			return And(HaveField("Status", 401), HaveField("Network", "127.0.0.0/24"), HaveField("User", BeNil()), HaveField("Verb", ""),
				HaveField("Reason", reason), HaveField("Method", method), HaveField("Route", route), HaveField("Requests", 1))
		}
		Expect(denials).To(ConsistOf(of("no_token", "GET", storeEvents+"/:event_id"), of("no_token", "POST", storeEvents),
			of("unknown_token", "POST", storeEvents), of("other_audience", "GET", storeEvents)))
		Expect(text).NotTo(ContainSubstring("s3cret"))
	}, SpecTimeout(specTimeout))

	It("tells who sends events of types that it may not write, in batches too of which the others are stored", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig = byCluster(), env.Config })
		shop, reader, id := newAccount(ctx, "shop"), newAccount(ctx, "reader"), env.CorrelationID()
		shop.mayWrite(ctx, "shop")
		reader.may(ctx, auditGroup, "events", "list")
		reads, header := bearing(reader.token(ctx)), bearing(shop.token(ctx))
		send := func(code int, path string, body any) {
			GinkgoHelper()
			Expect(storeCall(ctx, own.URL, http.MethodPost, path, header, encode(body)).code).To(Equal(code))
		}
		send(http.StatusCreated, storeEvents, ofType(id, "shop.order.placed", nil))
		send(http.StatusForbidden, storeEvents, anEvent(id, nil))
		send(http.StatusForbidden, storeEvents, ofType(id, "datastorage.erasure.completed", nil))
		mixed := []fields{ofType(id, "shop.order.placed", nil), stating(id, ""), ofType(id, "shopping.cart.filled", nil)}
		send(http.StatusForbidden, storeBatch, mixed)
		header.Set("Prefer", "handling=lenient")
		send(http.StatusMultiStatus, storeBatch, mixed)
		send(http.StatusMultiStatus, storeBatch, []fields{ofType(id, "shop.order.paid", nil)})

		denials, _ := denialsOf(ctx, own.ManagementURL, own.URL, "reader:"+shop.user(), reads)
		Expect(denials).To(ConsistOf(
			And(HaveField("Status", 403), HaveField("Reason", ""), HaveField("Verb", "create"), HaveField("Resource", "events."+auditGroup+"/gateway"),
				HaveField("Route", storeEvents), HaveField("Requests", 1), HaveField("User.Name", shop.user())),
			And(HaveField("Status", 403), HaveField("Reason", "reserved_type"), HaveField("Verb", ""), HaveField("Route", storeEvents), HaveField("Requests", 1)),
			And(HaveField("Status", 403), HaveField("Reason", "other_producer"), HaveField("Method", "POST"), HaveField("Route", storeBatch), HaveField("Requests", 2)),
		))
	}, SpecTimeout(specTimeout))

	It("also those of people under whose name nothing can be recorded", func(ctx SpecContext) {
		name := testenv.Unique("long-*") + strings.Repeat("n", 256)
		for path, body := range map[string]any{
			"/legalholds":       fields{"apiVersion": auditGroup + "/v1", "kind": "LegalHold", "spec": fields{"correlationID": env.CorrelationID(), "reason": "test"}},
			"/acknowledgements": fields{"apiVersion": auditGroup + "/v1", "kind": "Acknowledgement", "spec": fields{"recorder": "somebody", "eventIDs": []string{newEventID().String()}, "reason": "test"}},
		} {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, env.People.AggregatedURL+aggregatedRoot+path, bytes.NewReader(encode(body)))
			Expect(err).NotTo(HaveOccurred())
			r.Header = remote(name, "system:masters")
			r.Header.Set("Content-Type", "application/json")
			code, answer := do(peopleHTTP(frontProxy(controlplane.FrontProxyName)), r)
			Expect(code).To(Equal(http.StatusForbidden), answer)
		}
		denials, _ := denialsOf(ctx, env.People.ManagementURL, env.DataStorage.URL, ("reader:" + name)[:255], nil)
		of := func(resource string) any {
			return And(HaveField("Status", 403), HaveField("Reason", "unusable_user"), HaveField("User.Name", name[:255]), HaveField("Method", "POST"),
				HaveField("Route", aggregatedRoot+"/"+resource), HaveField("Requests", 1))
		}
		Expect(denials).To(ConsistOf(of("legalholds"), of("acknowledgements")))
	}, SpecTimeout(specTimeout))

	It("also those that the front proxy forwards", func(ctx SpecContext) {
		stranger := testenv.Unique("stranger-*")
		list := env.People.AggregatedURL + aggregatedRoot + "/events?correlation_id=" + env.CorrelationID()
		code, body := fetch(ctx, peopleHTTP(frontProxy(controlplane.FrontProxyName)), list, remote(stranger, "interns"))
		Expect(code).To(Equal(http.StatusForbidden), body)
		denials, _ := denialsOf(ctx, env.People.ManagementURL, env.DataStorage.URL, "reader:"+stranger, nil)
		Expect(denials).To(ConsistOf(And(HaveField("Status", 403), HaveField("User.Groups", ContainElement("interns")), HaveField("Requests", 1),
			HaveField("Verb", "list"), HaveField("Method", "GET"), HaveField("Route", aggregatedRoot+"/events"))))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("DataStorage records reads", func() {
	It("sums up who read what, with which filters, and how many events", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth = twoCallers() })
		id := env.CorrelationID()
		events := someEvents(id, 3)
		decoded[datastorage.BatchCreated](storeJSON(ctx, own.URL, storeBatch, events, "Authorization", "Bearer "+behaves), http.StatusCreated)
		read := func(code int, path string) {
			Expect(storeCall(ctx, own.URL, http.MethodGet, path, behaved(), nil).code).To(Equal(code), path)
		}
		for range 2 {
			read(http.StatusOK, storeEvents+"?limit=2&correlation_id="+id)
		}
		read(http.StatusOK, storeEvents+"?correlation_id=another-"+id)
		read(http.StatusBadRequest, storeEvents+"?limit=0")
		read(http.StatusOK, storeEvents+"/"+wireIDs(events[0])[0])
		read(http.StatusNotFound, storeEvents+"/01890a5d-ac96-774b-bcce-b302099a8057")
		read(http.StatusOK, storeEvents+"/stats?namespace=team")
		// Neither is a read.
		read(http.StatusOK, "/openapi.json")
		read(http.StatusOK, "/health/ready")

		reads := readsOf(ctx, own.ManagementURL, own.URL, behaves, behaved())
		Expect(reads).To(HaveLen(3))
		Expect(reads["list"]).To(HaveLen(1))
		Expect(reads["list"][0]).To(And(HaveField("Requests", 3), HaveField("Failed", 0), HaveField("Events", 4),
			HaveField("Filters", map[string][]string{"correlation_id": {id, "another-" + id}}), HaveField("User.Name", behaves)))
		Expect(reads["get"]).To(ConsistOf(And(HaveField("Requests", 2), HaveField("Failed", 1), HaveField("Events", 1),
			HaveField("Filters", map[string][]string{"event_id": {wireIDs(events[0])[0], "01890a5d-ac96-774b-bcce-b302099a8057"}}))))
		Expect(reads["stats"]).To(ConsistOf(And(HaveField("Requests", 1), HaveField("Filters", map[string][]string{"namespace": {"team"}}))))

		By("reading the events about reads, which is a read like others")
		reads = readsOf(ctx, own.ManagementURL, own.URL, behaves, behaved())
		Expect(reads["list"]).To(HaveLen(2))
		Expect(reads["list"][1]).To(And(HaveField("Requests", 1), HaveField("Events", 3), HaveField("Filters", HaveKeyWithValue("correlation_id", []string{"reader:" + behaves}))))
	}, SpecTimeout(specTimeout))

	It("also those of people, with what the API server knows of them", func(ctx SpecContext) {
		p := everyone(ctx)["a client certificate"]
		p.may(ctx, "events", "list")
		_, err := p.Resource(peopleEvents).List(ctx, metav1.ListOptions{FieldSelector: "correlation_id=" + env.CorrelationID()})
		Expect(err).NotTo(HaveOccurred())
		reads := readsOf(ctx, env.People.ManagementURL, env.DataStorage.URL, p.name, nil)
		Expect(reads["people_list"]).To(ConsistOf(And(HaveField("Requests", 1), HaveField("Events", 0), HaveField("User.Groups", ContainElements(p.groups)),
			HaveField("Filters", HaveKey("correlation_id")))))
	}, SpecTimeout(specTimeout))

	It("shows its own store to kubernaut stores", func(ctx SpecContext) {
		database, err := env.NewDatabase(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(database.Drop(ctx)).To(Succeed()) })
		own := storeOn(ctx, database.URL, func(o *datastorageapp.Options) { o.ControlListen = anyLoopback })
		workload, err := env.NewWorkload(ctx, podflush.Deployment, own.ManagementURL())
		Expect(err).NotTo(HaveOccurred())
		deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: workload.Name}}
		Expect(env.Patch(ctx, deployment, client.RawPatch(types.JSONPatchType, []byte(`[
			{"op": "add", "path": "/metadata/labels", "value": {"app.kubernetes.io/part-of": "kubernaut"}},
			{"op": "add", "path": "/spec/template/spec/volumes", "value": [{"name": "spool", "emptyDir": {}}]},
			{"op": "add", "path": "/spec/template/spec/containers/0/volumeMounts", "value": [{"name": "spool", "mountPath": "/spool"}]}
		]`)))).To(Succeed())
		Expect(workload.Control(ctx, workload.PodName(0), own.ControlURL())).To(Succeed())
		_, out, _ := kubernaut(ctx, "stores", "--kubeconfig", env.Kubeconfig, "-n", env.Namespace)
		Expect(out).To(ContainSubstring(workload.PodName(0)))
	}, SpecTimeout(specTimeout))

	It("keeps those at a standby in its spool, until there is a primary", func(ctx SpecContext) {
		primary := ownPostgres(ctx)
		standby := ownStandby(ctx, primary, "reads")
		awaitStreaming(ctx, primary)
		dir, id := GinkgoT().TempDir(), env.CorrelationID()
		run := func(url, dir string) (*datastorageapp.App, *lifecycle.Running) {
			a, err := datastorageapp.New(datastorageapp.Options{
				Grace: 10 * time.Second, DatabaseURL: servingURL(url), Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0", Spool: spool.Flags{Dir: dir},
			})
			Expect(err).NotTo(HaveOccurred())
			running, err := lifecycle.Start(ctx, "DataStorage", a)
			Expect(err).NotTo(HaveOccurred())
			return a, running
		}
		a, running := run(trailURL(standby), dir)
		decoded[datastorage.EventPage](storeFind(ctx, a.APIURL(), "correlation_id", id), http.StatusOK)
		Expect(running.Stop()).To(Succeed(), "what is on disk is not lost")

		a, running = run(trailURL(primary), dir)
		DeferCleanup(func() { Expect(running.Stop()).To(Succeed()) })
		Expect(readsOf(ctx, a.ManagementURL(), a.APIURL(), "", nil)["list"]).To(ConsistOf(HaveField("Filters", HaveKeyWithValue("correlation_id", []string{id}))))

		By("stopping one without a spool")
		a, without := run(trailURL(standby), "")
		decoded[datastorage.EventPage](storeFind(ctx, a.APIURL(), "correlation_id", id), http.StatusOK)
		Expect(without.Stop()).To(MatchError(ContainSubstring("1 lost, first datastorage.events.read")))
	}, SpecTimeout(specTimeout))
})
