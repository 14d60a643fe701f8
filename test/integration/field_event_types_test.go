//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/pkg/audittrail"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/testenv"
)

// ofType is an event of a type.
func ofType(correlationID, eventType string, changes fields) fields {
	e := anEvent(correlationID, changes)
	e["event_type"] = eventType
	return e
}

// stating is an event under audit., which speaks about its producer.
func stating(correlationID, producer string) fields {
	return ofType(correlationID, "audit.epoch.opened", fields{"producer_id": producer, "producer_epoch": 1, "producer_seq": 1})
}

var _ = Describe("recorders", func() {
	send := func(ctx context.Context, store *testenv.DataStorage, token string, event fields) storeAnswer {
		GinkgoHelper()
		return storeCall(ctx, store.URL, http.MethodPost, storeEvents, bearing(token), encode(event))
	}
	sendAll := func(ctx context.Context, store *testenv.DataStorage, token string, events ...fields) storeAnswer {
		GinkgoHelper()
		return storeCall(ctx, store.URL, http.MethodPost, storeBatch, bearing(token), encode(events))
	}
	find := func(ctx context.Context, store *testenv.DataStorage, token, correlationID string) []datastorage.StoredEvent {
		GinkgoHelper()
		answer := storeCall(ctx, store.URL, http.MethodGet, storeEvents+"?order=asc&correlation_id="+correlationID, bearing(token), nil)
		return decoded[datastorage.EventPage](answer, http.StatusOK).Data
	}
	inCluster := func(ctx context.Context) *testenv.DataStorage {
		GinkgoHelper()
		return ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig = byCluster(), env.Config })
	}

	It("field C12: write the event types of their Role, and no others", func(ctx SpecContext) {
		store, id := inCluster(ctx), env.CorrelationID()
		shop, auditor := newAccount(ctx, "shop"), newAccount(ctx, "auditor")
		shop.mayWrite(ctx, "shop", "billing")
		auditor.may(ctx, auditGroup, "events", "list")
		token, reads := shop.token(ctx), auditor.token(ctx)

		By("storing its own types, on a trail of others")
		decoded[datastorage.EventCreated](send(ctx, store, token, ofType(id, "shop.order.placed", nil)), http.StatusCreated)
		decoded[datastorage.BatchCreated](sendAll(ctx, store, token, ofType(id, "shop.order.paid", nil), ofType(id, "billing.invoice.sent", nil)), http.StatusCreated)

		By("refusing one event of another type")
		problem := decoded[datastorage.Problem](send(ctx, store, token, anEvent(id, nil)), http.StatusForbidden)
		Expect(problem.Detail).To(SatisfyAll(ContainSubstring(shop.user()), ContainSubstring("events/gateway"), ContainSubstring("resourceNames [gateway]")))
		Expect(problem.Items).To(HaveExactElements(And(HaveField("Index", 0), HaveField("Code", datastorage.Forbidden))))

		By("refusing a batch as a whole, naming each event to blame")
		batch := []fields{ofType(id, "shop.order.sent", nil), anEvent(id, nil), ofType(id, "shopping.cart.filled", nil), ofType(id, "shop.order.closed", nil)}
		problem = decoded[datastorage.Problem](sendAll(ctx, store, token, batch...), http.StatusForbidden)
		Expect(problem.Type).To(HaveSuffix("/forbidden"))
		Expect(problem.Items).To(HaveExactElements(
			And(HaveField("Index", 1), HaveField("Code", datastorage.Forbidden), HaveField("EventId", HaveValue(Equal(uuid.MustParse(wireIDs(batch[1])[0]))))),
			And(HaveField("Index", 2), HaveField("Code", datastorage.Forbidden), HaveField("Detail", ContainSubstring("events/shopping"))),
		))
		Expect(find(ctx, store, reads, id)).To(HaveLen(3))

		By("refusing them alone, if the sender prefers that")
		header := bearing(token)
		header.Set("Prefer", "handling=lenient")
		answer := storeCall(ctx, store.URL, http.MethodPost, storeBatch, header, encode(batch))
		results := decoded[datastorage.BatchResults](answer, http.StatusMultiStatus)
		statuses := make([]int, 0, len(batch))
		for _, r := range results.Results {
			statuses = append(statuses, r.Status)
		}
		Expect(statuses).To(Equal([]int{http.StatusCreated, http.StatusForbidden, http.StatusForbidden, http.StatusCreated}))
		Expect(find(ctx, store, reads, id)).To(HaveLen(5))

		By("bounding what a request asks the API server")
		many := make([]fields, 40)
		for i := range many {
			many[i] = ofType(id, "type"+string(rune('a'+i%26))+string(rune('a'+i/26))+".x.y", nil)
		}
		decoded[datastorage.Problem](sendAll(ctx, store, token, many...), http.StatusBadRequest)
	}, SpecTimeout(specTimeout))

	It("field C12: have Roles with their own types in every overlay", func() {
		for _, overlay := range []string{"kind", "local", "production"} {
			granted := map[string][]string{}
			for _, u := range build(overlay) {
				if u.GetKind() != "Role" || !strings.HasPrefix(u.GetName(), "audit-writer-") {
					continue
				}
				var role rbacv1.Role
				Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &role)).To(Succeed())
				granted[strings.TrimPrefix(role.Name, "audit-writer-")] = role.Rules[0].ResourceNames
			}
			Expect(granted).To(Equal(map[string][]string{
				"gateway": {"gateway"}, "signalprocessing": {"signalprocessing"}, "workflowexecution": {"remediation", "workflowexecution"},
			}), overlay)
		}
	})

	It("field C12: are asked to send again while nobody can tell what they may write", func(ctx SpecContext) {
		var away away
		store := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth, o.RESTConfig = byCluster(), rest.CopyConfig(env.Config)
			o.RESTConfig.Wrap(away.wrap)
		})
		shop := newAccount(ctx, "shop")
		shop.mayWrite(ctx, "shop")
		token, id := shop.token(ctx), env.CorrelationID()
		away.resource("/subjectaccessreviews")
		answer := send(ctx, store, token, ofType(id, "shop.order.placed", nil))
		decoded[datastorage.Problem](answer, http.StatusServiceUnavailable)
		Expect(answer.header.Get("Retry-After")).NotTo(BeEmpty())
		away.resource("")
		decoded[datastorage.EventCreated](send(ctx, store, token, ofType(id, "shop.order.placed", nil)), http.StatusCreated)
	}, SpecTimeout(specTimeout))

	It("field C12: speak about their own producers without a grant, and about nobody else's", func(ctx SpecContext) {
		store, id := inCluster(ctx), env.CorrelationID()
		first, second, auditor := newAccount(ctx, "first"), newAccount(ctx, "second"), newAccount(ctx, "auditor")
		first.mayWrite(ctx, "shop")
		auditor.may(ctx, auditGroup, "events", "list")
		mine, theirs, reads := first.token(ctx), second.token(ctx), auditor.token(ctx)
		used, unused, replaced := testenv.Unique("used-*"), testenv.Unique("unused-*"), testenv.Unique("replaced-*")

		By("claiming a producer with its first event under audit.")
		decoded[datastorage.EventCreated](send(ctx, store, theirs, stating(id, unused)), http.StatusCreated)
		decoded[datastorage.EventCreated](send(ctx, store, theirs, stating(id, unused)), http.StatusCreated)
		problem := decoded[datastorage.Problem](sendAll(ctx, store, mine, ofType(id, "shop.order.placed", nil), stating(id, unused)), http.StatusForbidden)
		Expect(problem.Items).To(HaveExactElements(And(HaveField("Index", 1), HaveField("Detail", ContainSubstring("belongs to another recorder")))))

		By("owning a producer by an event of any type")
		decoded[datastorage.EventCreated](send(ctx, store, mine, ofType(id, "shop.order.placed", fields{"producer_id": used, "producer_epoch": 1, "producer_seq": 1})), http.StatusCreated)
		decoded[datastorage.Problem](send(ctx, store, theirs, stating(id, used)), http.StatusForbidden)
		decoded[datastorage.EventCreated](send(ctx, store, mine, stating(id, used)), http.StatusCreated)
		decoded[datastorage.Problem](send(ctx, store, theirs, stating(id, "")), http.StatusForbidden)

		By("noting who owns it, where no client can write")
		claims := find(ctx, store, reads, used)
		Expect(claims).To(HaveExactElements(And(
			HaveField("EventType", "datastorage.producer.claimed"), HaveField("RecordedBy", HaveValue(Equal("kubernaut:datastorage"))),
			HaveField("ActorId", HaveValue(Equal(first.user()))), HaveField("Foreign", false),
		)))
		everything := newAccount(ctx, "everything")
		everything.may(ctx, auditGroup, "events", "create")
		forged := ofType(replaced, "datastorage.producer.claimed", nil)
		decoded[datastorage.Problem](send(ctx, store, everything.token(ctx), forged), http.StatusForbidden)

		By("agreeing on other replicas of the same database")
		replica := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth, o.RESTConfig, o.DatabaseURL = byCluster(), env.Config, servingURL(store.DatabaseURL())
		})
		decoded[datastorage.Problem](send(ctx, replica, mine, stating(id, unused)), http.StatusForbidden)
		decoded[datastorage.EventCreated](send(ctx, replica, theirs, stating(id, unused)), http.StatusCreated)
	}, SpecTimeout(specTimeout))

	It("field C12: are told apart from those who wrote without a permission", func(ctx SpecContext) {
		var away away
		now := clocktesting.NewFakeClock(time.Now())
		store := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth, o.Clock, o.RESTConfig = byCluster(), now, rest.CopyConfig(env.Config)
			o.RESTConfig.Wrap(away.wrap)
		})
		id, later := env.CorrelationID(), env.CorrelationID()
		shop, intruder, auditor := newAccount(ctx, "shop"), newAccount(ctx, "intruder"), newAccount(ctx, "auditor")
		shop.mayWrite(ctx, "shop")
		granted := intruder.mayWrite(ctx, "shop")
		auditor.may(ctx, auditGroup, "events", "list", "get")
		token := auditor.token(ctx)

		By("recording with the permission")
		decoded[datastorage.EventCreated](send(ctx, store, shop.token(ctx), ofType(id, "shop.order.placed", nil)), http.StatusCreated)
		decoded[datastorage.EventCreated](send(ctx, store, intruder.token(ctx), ofType(id, "shop.order.forged", nil)), http.StatusCreated)
		Expect(find(ctx, store, token, id)).To(HaveEach(HaveField("Foreign", false)))

		By("reading when it is gone")
		removed(ctx, granted)
		intruder.awaitPermissionOn(ctx, authorizationv1.ResourceAttributes{
			Namespace: env.Namespace, Group: auditGroup, Resource: "events", Verb: "create", Name: "shop",
		}, false)
		now.Step(aMinute + time.Second)
		trail := find(ctx, store, token, id)
		Expect(trail).To(HaveExactElements(
			And(HaveField("EventType", "shop.order.placed"), HaveField("Foreign", false), HaveField("RecorderUnchecked", false)),
			And(HaveField("EventType", "shop.order.forged"), HaveField("Foreign", true), HaveField("RecorderUnchecked", false)),
		))
		story, apart := audittrail.Story(trail)
		Expect(story).To(HaveLen(1))
		Expect(apart).To(HaveLen(1))
		one := storeCall(ctx, store.URL, http.MethodGet, storeEvents+"/"+trail[1].EventId.String(), bearing(token), nil)
		Expect(decoded[datastorage.StoredEvent](one, http.StatusOK).Foreign).To(BeTrue())

		By("saying so when it cannot be checked")
		fresh := newAccount(ctx, "fresh")
		fresh.mayWrite(ctx, "shop")
		decoded[datastorage.EventCreated](send(ctx, store, fresh.token(ctx), ofType(later, "shop.order.placed", nil)), http.StatusCreated)
		away.resource("/subjectaccessreviews")
		Expect(find(ctx, store, token, later)).To(HaveExactElements(And(HaveField("Foreign", false), HaveField("RecorderUnchecked", true))))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("token files", func() {
	It("field C12: have a key of event types", func(ctx SpecContext) {
		store := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth = auth.Flags{Mode: auth.ModeTokenFile, File: writeTokens(
				tokenLine("shop", "of-shop", "rights=write", "types=shop") + tokenLine("relay", "of-relay", "rights=read,write", "types=*"))}
		})
		id := env.CorrelationID()
		try := func(token, eventType string) storeAnswer {
			GinkgoHelper()
			return storeCall(ctx, store.URL, http.MethodPost, storeEvents, bearing(token), encode(ofType(id, eventType, nil)))
		}
		decoded[datastorage.EventCreated](try("of-shop", "shop.order.placed"), http.StatusCreated)
		problem := decoded[datastorage.Problem](try("of-shop", "gateway.test.received"), http.StatusForbidden)
		Expect(problem.Detail).To(ContainSubstring("add gateway to types= to its line in the token file"))
		decoded[datastorage.EventCreated](try("of-relay", "gateway.test.received"), http.StatusCreated)
	}, SpecTimeout(specTimeout))
})

var _ = Describe("registered event schemas", func() {
	It("are enforced at ingest, for their types only, and listed", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		schema := `{"type":"object","required":["order"],"properties":{"order":{"type":"string"}}}`
		Expect(os.WriteFile(filepath.Join(dir, "shop.order.placed.json"), []byte(schema), 0o600)).To(Succeed())
		store := ownStore(ctx, func(o *datastorageapp.Options) { o.EventSchemas = dir })
		id := env.CorrelationID()
		good, bad := ofType(id, "shop.order.placed", fields{"event_data": fields{"order": "7"}}), ofType(id, "shop.order.placed", fields{"event_data": fields{"order": 7}})
		other := ofType(id, "shop.order.canceled", fields{"event_data": fields{"order": 7}})

		one := decoded[datastorage.Problem](storeCall(ctx, store.URL, http.MethodPost, storeEvents, headerOf(), encode(bad)), http.StatusBadRequest)
		Expect(one.FieldErrors).To(HaveKeyWithValue("event_data", ContainSubstring("registered for shop.order.placed")))
		batch := decoded[datastorage.Problem](storeCall(ctx, store.URL, http.MethodPost, storeBatch, headerOf(), encode([]fields{good, bad, other})), http.StatusBadRequest)
		Expect(batch.Items).To(ConsistOf(HaveField("Index", 1)))
		page := decoded[datastorage.EventPage](storeCall(ctx, store.URL, http.MethodGet, storeEvents+"?correlation_id="+id, nil, nil), http.StatusOK)
		Expect(page.Data).To(BeEmpty(), "all or nothing")
		decoded[datastorage.BatchCreated](storeCall(ctx, store.URL, http.MethodPost, storeBatch, headerOf(), encode([]fields{good, other})), http.StatusCreated)

		list := decoded[datastorage.EventSchemaList](storeCall(ctx, store.URL, http.MethodGet, storeSchemas, nil, nil), http.StatusOK)
		Expect(list.EventSchemas).To(ContainElements(
			datastorage.EventSchemaSummary{EventType: "shop.order.placed", Enforced: true},
			datastorage.EventSchemaSummary{EventType: "gateway.signal.received", Enforced: false},
		))
		Expect(storeCall(ctx, store.URL, http.MethodGet, storeSchemas+"/shop.order.placed", nil, nil).body).To(MatchJSON(schema))
		decoded[datastorage.Problem](storeCall(ctx, store.URL, http.MethodGet, storeSchemas+"/shop.order.canceled", nil, nil), http.StatusNotFound)
	}, SpecTimeout(specTimeout))
})

// storeSchemas is where DataStorage lists event schemas.
const storeSchemas = "/api/v1/audit/event-schemas"

// aMinute is how long the last usable token file stays in force.
const aMinute = time.Minute
