//go:build integration

package integration_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/trailtest"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("auth: callers of DataStorage", func() {
	var store *testenv.DataStorage

	BeforeEach(func(ctx SpecContext) {
		store = ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.Kubeconfig = byCluster(), env.Kubeconfig })
	})

	// find lists the events of a random correlation id.
	find := func(ctx SpecContext, token string) storeAnswer {
		GinkgoHelper()
		return storeCall(ctx, store.URL, http.MethodGet, storeEvents+"?correlation_id="+env.CorrelationID(), bearing(token), nil)
	}
	create := func(ctx SpecContext, token string) storeAnswer {
		GinkgoHelper()
		return storeCall(ctx, store.URL, http.MethodPost, storeEvents, bearing(token), encode(anEvent(env.CorrelationID(), nil)))
	}

	It("are rejected without a token that the API server accepts for the audience", func(ctx SpecContext) {
		reader := newAccount(ctx, "reader")
		reader.may(ctx, auditGroup, "events", "list")
		good := reader.token(ctx)
		for what, token := range map[string]string{
			"none": "", "invented": "no.such.token", "not text": "\xff\xfe", "cut off": good[:len(good)-1],
			"for another audience": reader.token(ctx, "somebody-else"),
		} {
			By(what)
			answer := find(ctx, token)
			problem := decoded[datastorage.Problem](answer, http.StatusUnauthorized)
			Expect(problem.Detail).NotTo(HaveValue(BeEmpty()))
			Expect(answer.header.Get("WWW-Authenticate")).To(HavePrefix("Bearer"))
		}
		decoded[datastorage.EventPage](find(ctx, good), http.StatusOK)
	}, SpecTimeout(specTimeout))

	It("are rejected once their account is removed", func(ctx SpecContext) {
		reader := newAccount(ctx, "reader")
		token := reader.token(ctx)
		reader.remove(ctx)
		decoded[datastorage.Problem](find(ctx, token), http.StatusUnauthorized)
	}, SpecTimeout(specTimeout))

	It("use tokens for the configured audiences", func(ctx SpecContext) {
		strict := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth, o.RESTConfig = byCluster(ownAudience, "another"), env.Config
		})
		reader := newAccount(ctx, "reader")
		reader.may(ctx, auditGroup, "events", "list")
		list := func(token string) storeAnswer {
			GinkgoHelper()
			return storeCall(ctx, strict.URL, http.MethodGet, storeEvents+"?correlation_id="+env.CorrelationID(), bearing(token), nil)
		}
		decoded[datastorage.EventPage](list(reader.token(ctx, ownAudience)), http.StatusOK)
		decoded[datastorage.EventPage](list(reader.token(ctx, "somebody-else", "another")), http.StatusOK)
		problem := decoded[datastorage.Problem](list(reader.token(ctx, "somebody-else")), http.StatusUnauthorized)
		Expect(problem.Detail).To(HaveValue(ContainSubstring(ownAudience)))
	}, SpecTimeout(specTimeout))

	It("learn which permission they lack, and how to get it", func(ctx SpecContext) {
		nobody := newAccount(ctx, "nobody")
		token := nobody.token(ctx)
		for verb, answer := range map[string]storeAnswer{"create": create(ctx, token), "list": find(ctx, token)} {
			problem := decoded[datastorage.Problem](answer, http.StatusForbidden)
			Expect(problem.Type).To(Equal("https://kubernaut.ai/problems/forbidden"))
			Expect(problem.Detail).To(HaveValue(SatisfyAll(
				ContainSubstring(nobody.user()), ContainSubstring(verb), ContainSubstring("events"), ContainSubstring(auditGroup),
				ContainSubstring("namespace "+env.Namespace), ContainSubstring("rolebinding"),
				ContainSubstring(env.Namespace+":"+nobody.Name),
			)))
		}
	}, SpecTimeout(specTimeout))

	It("need separate permissions to write and to read", func(ctx SpecContext) {
		writer, lister, getter := newAccount(ctx, "writer"), newAccount(ctx, "lister"), newAccount(ctx, "getter")
		writer.may(ctx, auditGroup, "events", "create")
		lister.may(ctx, auditGroup, "events", "list")
		getter.may(ctx, auditGroup, "events", "get")
		event := anEvent(env.CorrelationID(), nil)
		path := storeEvents + "/" + wireIDs(event)[0]
		calls := map[string]func(token string) storeAnswer{
			"create": func(token string) storeAnswer {
				return storeCall(ctx, store.URL, http.MethodPost, storeEvents, bearing(token), encode(event))
			},
			"create many": func(token string) storeAnswer {
				return storeCall(ctx, store.URL, http.MethodPost, storeBatch, bearing(token), encode([]fields{event}))
			},
			"list": func(token string) storeAnswer { return find(ctx, token) },
			"get": func(token string) storeAnswer {
				return storeCall(ctx, store.URL, http.MethodGet, path, bearing(token), nil)
			},
		}
		for _, who := range []struct {
			account

			may map[string]int
		}{
			{writer, map[string]int{"create": http.StatusCreated, "create many": http.StatusCreated}},
			{lister, map[string]int{"list": http.StatusOK}},
			{getter, map[string]int{"get": http.StatusOK}},
		} {
			token := who.token(ctx)
			for name, try := range calls {
				want, permitted := who.may[name]
				if !permitted {
					want = http.StatusForbidden
				}
				answer := try(token)
				Expect(answer.code).To(Equal(want), "%s: %s: %s", who.Name, name, answer.body)
			}
		}
		stored := decoded[datastorage.StoredEvent](calls["get"](getter.token(ctx)), http.StatusOK)
		Expect(stored.RecordedBy).To(HaveValue(Equal(writer.user())))
		Expect(stored.ActorId).To(HaveValue(Equal(writer.user())))
	}, SpecTimeout(specTimeout))

	It("are rejected a minute after their permission was revoked", func(ctx SpecContext) {
		now := clocktesting.NewFakeClock(time.Now())
		store = ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig, o.Clock = byCluster(), env.Config, now })
		writer := newAccount(ctx, "writer")
		binding := writer.may(ctx, auditGroup, "events", "create")
		token := writer.token(ctx)
		decoded[datastorage.EventCreated](create(ctx, token), http.StatusCreated)

		removed(ctx, binding)
		writer.awaitPermission(ctx, auditGroup, "events", "create", false)
		now.Step(time.Minute)
		decoded[datastorage.EventCreated](create(ctx, token), http.StatusCreated)
		now.Step(time.Nanosecond)
		decoded[datastorage.Problem](create(ctx, token), http.StatusForbidden)
	}, SpecTimeout(specTimeout))

	It("are asked to retry while the API server is down", func(ctx SpecContext) {
		cut := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth, o.RESTConfig = byCluster(), &rest.Config{Host: "http://" + closedPort()}
		})
		answer := storeCall(ctx, cut.URL, http.MethodGet, storeEvents+"?correlation_id="+env.CorrelationID(), bearing("any"), nil)
		decoded[datastorage.Problem](answer, http.StatusServiceUnavailable)
		Expect(answer.header.Get("Retry-After")).To(Equal("1"))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("auth: a pipeline whose every call is checked, over TLS", func() {
	It("leaves a complete trail under the names of its services' accounts", func(ctx SpecContext) {
		files := newCertificate()
		store := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth, o.RESTConfig, o.TLS = byCluster(ownAudience), env.Config, files
		})
		Expect(store.URL).To(HavePrefix("https://"))
		intake, processor := newAccount(ctx, "gateway"), newAccount(ctx, "signalprocessing")
		intake.may(ctx, auditGroup, "events", "create")
		processor.may(ctx, auditGroup, "events", "create")
		p, err := env.NewPipeline(ctx, testenv.PipelineOptions{
			DataStorage: store,
			Gateway: func(o *gateway.Options) {
				o.Auth, o.TLS = sendersByCluster(), files
				o.DataStorageTokenFile, o.DataStorageCAFile = intake.tokenFile(ctx, ownAudience), files.Cert
			},
			SignalProcessing: func(o *signalprocessing.Options) {
				o.DataStorageTokenFile, o.DataStorageCAFile = processor.tokenFile(ctx, ownAudience), files.Cert
			},
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(p.Stop()).To(Succeed()) })

		sender, reader := newAccount(ctx, "sender"), newAccount(ctx, "reader")
		sender.mayReport(ctx, p.Namespace)
		reader.may(ctx, auditGroup, "events", "list")
		alert := podAlert()
		alert["namespace"] = p.Namespace
		taken, err := alertmanager.Call{
			URL: p.GatewayURL, Body: alertBody(alertmanager.Firing, alert), HTTP: trusting(files.Cert), Authorize: showing(sender.token(ctx)),
		}.Do(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(taken.Code).To(Equal(http.StatusCreated))
		rr := &v1alpha1.RemediationRequest{}
		rr.Namespace, rr.Name = taken.RemediationRequestNamespace, taken.RemediationRequestName
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())

		trails, err := audittrail.NewReader(audittrail.Options{
			DataStorageURL: store.URL, ManagementURLs: p.ManagementURLs, HTTP: trusting(files.Cert), Authorize: showing(reader.token(ctx, ownAudience)),
		})
		Expect(err).NotTo(HaveOccurred())
		events, err := trails.Read(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		complete := testenv.Trail(events)
		Expect(complete).To(SatisfyAll(
			trailtest.HaveAudited(signalReceived, trailtest.WithActorID(sender.user())),
			trailtest.HaveAudited(requestCreated), trailtest.HaveAudited(enrichmentCompleted),
			trailtest.HaveAudited(classificationDecision), trailtest.HaveAudited(businessClassified), trailtest.HaveAudited(processed),
		))
		for i := range complete {
			want := processor.user()
			if complete[i].EventCategory == "gateway" {
				want = intake.user()
			}
			Expect(complete[i].RecordedBy).To(HaveValue(Equal(want)), complete[i].EventType)
		}
	}, SpecTimeout(specTimeout))
})
