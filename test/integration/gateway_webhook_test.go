//go:build integration

package integration_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// The types of the Gateway's events.
const (
	signalReceived     = testenv.SignalReceived
	signalDeduplicated = "gateway.signal.deduplicated"
	signalResolved     = "gateway.signal.resolved"
	signalRejected     = "gateway.signal.rejected"
	signalTruncated    = "gateway.signal.truncated"
	requestCreated     = testenv.RequestCreated
	requestFailed      = "gateway.crd.failed"
)

var _ = Describe("gateway: the webhook of an unmodified Alertmanager", func() {
	var p *testenv.Pipeline

	// The bodies are the same in every run, so each spec sends them to a
	// Gateway of its own namespace.
	BeforeEach(func(ctx SpecContext) {
		var err error
		p, err = env.NewPipeline(ctx, testenv.PipelineOptions{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(p.Stop()).To(Succeed()) })
	})

	trail := func(ctx SpecContext, correlationID string) testenv.Trail {
		GinkgoHelper()
		events, err := p.AuditTrail(ctx, correlationID)
		Expect(err).NotTo(HaveOccurred())
		return events
	}

	stored := func(ctx SpecContext, r alertmanager.Result) *v1alpha1.RemediationRequest {
		GinkgoHelper()
		rr := &v1alpha1.RemediationRequest{}
		Expect(env.Get(ctx, client.ObjectKey{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName}, rr)).To(Succeed())
		Expect(rr.Spec.SignalFingerprint).To(Equal(r.Fingerprint))
		return rr
	}

	It("accepts one firing alert", func(ctx SpecContext) {
		answer := post(ctx, p.GatewayURL, realBody("one-firing.json"))
		Expect(answer.Code).To(Equal(http.StatusCreated))
		Expect(answer.Status).To(Equal("created"))
		Expect(answer.Duplicate).To(BeFalse())
		Expect(answer.RemediationRequestName).To(MatchRegexp(`^rr-%s-[0-9a-f]{20}$`, answer.Fingerprint[:12]))

		rr := stored(ctx, answer.Result)
		Expect(rr.Namespace).To(Equal(p.Namespace), "the Gateway does not watch the target's namespace")
		Expect(rr.Spec.SignalName).To(Equal("KubePodCrashLooping"))
		Expect(rr.Spec.Severity).To(Equal("critical"))
		Expect(rr.Spec.TargetResource).To(Equal(v1alpha1.TargetResource{
			APIVersion: "v1", Kind: "Pod", Name: "checkout-7d9c6b5c4-x2x9z", Namespace: "prod-payments",
		}))
		Expect(rr.Spec.FiringTime.UTC()).To(Equal(time.Date(2026, 11, 23, 9, 35, 44, 394_726_000, time.UTC)))
		Expect(rr.Spec.Labels).To(HaveKeyWithValue("container", "checkout"))
		Expect(rr.Spec.Annotations).To(HaveKeyWithValue("summary", "Pod is crash looping."))
		Expect(rr.Spec.OriginalPayload).To(ContainSubstring("31148f516686f4f6"))

		events := trail(ctx, rr.Name)
		Expect(events.Of(signalReceived)).To(HaveLen(1))
		Expect(events.Of(requestCreated)).To(HaveLen(1))
		Expect(events.Types()[0]).To(Equal(signalReceived), "the signal comes before its request")
		Expect(events).To(trailtest.HaveAudited(signalReceived, trailtest.WithOutcome(datastorage.Success),
			trailtest.WithData("delivery", answer.CorrelationID), trailtest.WithData("signal_name", "KubePodCrashLooping")))
		Expect(events).To(trailtest.HaveAudited(requestCreated, trailtest.WithOutcome(datastorage.Success),
			trailtest.WithData("uid", rr.UID), trailtest.WithData("spec.signalFingerprint", answer.Fingerprint),
			trailtest.WithData("spec.labels.cluster", "prod-eu-1")))
	}, SpecTimeout(specTimeout))

	It("accepts every alert of a group", func(ctx SpecContext) {
		answer := post(ctx, p.GatewayURL, realBody("group-of-three.json"))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Summary).To(Equal(map[string]int{
			"total": 3, "created": 3, "duplicates": 0, "overflow": 0, "resolved": 0, "ignored": 0, "rejected": 0, "truncated": 0,
		}))
		kinds := make([]string, 0, 3)
		for _, r := range answer.Results {
			Expect(r.Status).To(Equal("created"))
			target := stored(ctx, r).Spec.TargetResource
			kinds = append(kinds, target.Kind+" "+target.Name)
			events := trail(ctx, r.RemediationRequestName)
			Expect(events.Of(signalReceived)).To(HaveLen(1))
			Expect(events.Of(requestCreated)).To(HaveLen(1))
		}
		Expect(kinds).To(Equal([]string{"StatefulSet cache", "Deployment frontend", "Deployment search"}), "in the order of the body")
	}, SpecTimeout(specTimeout))

	It("records the end of an alert on its request, beside a new one", func(ctx SpecContext) {
		first := post(ctx, p.GatewayURL, realBody("one-firing.json"))
		Expect(first.Code).To(Equal(http.StatusCreated))
		answer := post(ctx, p.GatewayURL, realBody("resolved-and-firing.json"))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Results).To(HaveLen(2))
		Expect(answer.Results[0].Status).To(Equal("resolved"))
		Expect(answer.Results[0].RemediationRequestName).To(Equal(first.RemediationRequestName))
		Expect(answer.Results[1].Status).To(Equal("created"))
		stored(ctx, answer.Results[1])
		Expect(trail(ctx, first.RemediationRequestName)).To(trailtest.HaveAudited(signalResolved,
			trailtest.WithData("resolved_time", "2026-11-23T09:35:49Z")))
	}, SpecTimeout(specTimeout))

	It("warns on each request of a truncated body", func(ctx SpecContext) {
		answer := post(ctx, p.GatewayURL, realBody("truncated.json"))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Results).To(HaveLen(2))
		for _, r := range answer.Results {
			Expect(r.Status).To(Equal("created"))
			Expect(stored(ctx, r).Spec.TargetResource.Kind).To(Equal("Node"))
			Expect(trail(ctx, r.RemediationRequestName)).To(trailtest.HaveAudited(signalTruncated,
				trailtest.WithData("truncated_alerts", 1), trailtest.WithSeverity("warning")))
		}
	}, SpecTimeout(specTimeout))

	It("deduplicates the same notification", func(ctx SpecContext) {
		first := post(ctx, p.GatewayURL, realBody("group-of-three.json"))
		again := post(ctx, p.GatewayURL, realBody("group-of-three.json"))
		Expect(again.Code).To(Equal(http.StatusMultiStatus))
		Expect(again.Summary).To(HaveKeyWithValue("duplicates", 3))
		for i, r := range again.Results {
			Expect(r.Duplicate).To(BeTrue())
			Expect(r.RemediationRequestName).To(Equal(first.Results[i].RemediationRequestName))
			Expect(trail(ctx, r.RemediationRequestName).Of(signalDeduplicated)).To(HaveLen(1))
		}
	}, SpecTimeout(specTimeout))
})

var _ = Describe("gateway: responses", func() {
	DescribeTable("a body that can never be accepted is rejected with a reason and audited",
		func(ctx SpecContext, contentType string, body func() []byte, code int, field string) {
			header := http.Header{}
			if contentType != "" {
				header.Set("Content-Type", contentType)
			}
			answer := call(ctx, env.GatewayURL, http.MethodPost, alertmanager.Path, header, body())
			Expect(answer.Code).To(Equal(code))
			Expect(answer.Header.Get("Content-Type")).To(Equal("application/problem+json"))
			Expect(answer.Detail).NotTo(BeEmpty())
			if field != "" {
				Expect(answer.FieldErrors).To(HaveKey(field))
			}
			events := audited(ctx, answer.CorrelationID)
			Expect(events).To(HaveLen(1))
			Expect(events).To(trailtest.HaveAudited(signalRejected, trailtest.WithOutcome(datastorage.Failure),
				trailtest.WithErrorCode(fmt.Sprintf("http-%d", code))))
		},
		Entry("no JSON", SpecTimeout(specTimeout), "application/json", func() []byte { return []byte("alert!") }, http.StatusBadRequest, "body"),
		Entry("no alerts", SpecTimeout(specTimeout), "application/json", func() []byte { return []byte(`{"version":"4","alerts":[]}`) }, http.StatusBadRequest, "alerts"),
		Entry("another version", SpecTimeout(specTimeout), "application/json", func() []byte {
			return bytes.Replace(alertBody("firing", podAlert()), []byte(`"4"`), []byte(`"3"`), 1)
		}, http.StatusBadRequest, "version"),
		Entry("an alert without a name", SpecTimeout(specTimeout), "application/json", func() []byte {
			return alertBody("firing", map[string]string{"pod": "p"})
		}, http.StatusBadRequest, "alerts[0].labels.alertname"),
		Entry("an unknown state", SpecTimeout(specTimeout), "application/json", func() []byte {
			return alertBody("smouldering", podAlert())
		}, http.StatusBadRequest, "alerts[0].status"),
		Entry("another content type", SpecTimeout(specTimeout), "application/xml", func() []byte { return alertBody("firing", podAlert()) },
			http.StatusUnsupportedMediaType, ""),
		Entry("no content type", SpecTimeout(specTimeout), "", func() []byte { return alertBody("firing", podAlert()) }, http.StatusUnsupportedMediaType, ""),
		Entry("a large body without a usable alert", SpecTimeout(specTimeout), "application/json", func() []byte {
			return bytes.Replace(alertBody("firing", podAlert()), []byte(`[`), append([]byte(`[`), bytes.Repeat([]byte(`{},`), 400_000)...), 1)
		}, http.StatusRequestEntityTooLarge, "alerts[0].status"),
	)

	It("accepts the other alerts of a body with an invalid one", func(ctx SpecContext) {
		good := podAlert()
		answer := post(ctx, env.GatewayURL, alertBody("firing", good, map[string]string{"pod": "p"}))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Results).To(HaveLen(2))
		Expect(answer.Results[0].Status).To(Equal("created"))
		Expect(answer.Results[1].Status).To(Equal("rejected"))
		Expect(answer.Results[1].FieldErrors).To(HaveKey("alerts[1].labels.alertname"))
		rr := &v1alpha1.RemediationRequest{}
		key := client.ObjectKey{Namespace: answer.Results[0].RemediationRequestNamespace, Name: answer.Results[0].RemediationRequestName}
		Expect(env.Get(ctx, key, rr)).To(Succeed())
		Expect(rr.Spec.SignalName).To(Equal(good["alertname"]))
		Expect(audited(ctx, answer.CorrelationID)).To(trailtest.HaveAudited(signalRejected, trailtest.WithOutcome(datastorage.Failure)))
	}, SpecTimeout(specTimeout))

	It("ignores unknown fields", func(ctx SpecContext) {
		body := bytes.Replace(alertBody("firing", podAlert()), []byte(`{`), []byte(`{"later":{"invented":[1]},`), 1)
		Expect(post(ctx, env.GatewayURL, body).Code).To(Equal(http.StatusCreated))
	}, SpecTimeout(specTimeout))

	It("returns problem details for unknown routes and methods", func(ctx SpecContext) {
		answer := call(ctx, env.GatewayURL, http.MethodPost, "/api/v1/signals/smoke", alertmanager.JSON(), nil)
		Expect(answer.Code).To(Equal(http.StatusNotFound))
		Expect(answer.Header.Get("Content-Type")).To(Equal("application/problem+json"))
		answer = call(ctx, env.GatewayURL, http.MethodGet, alertmanager.Path, alertmanager.JSON(), nil)
		Expect(answer.Code).To(Equal(http.StatusMethodNotAllowed))
		Expect(answer.Header.Get("Allow")).To(ContainSubstring(http.MethodPost))
	}, SpecTimeout(specTimeout))

	It("accepts callers with a known token only", func(ctx SpecContext) {
		token := env.CorrelationID()
		file := filepath.Join(GinkgoT().TempDir(), "tokens")
		Expect(os.WriteFile(file, []byte(tokenLine("alertmanager", token, "namespaces=*")), 0o600)).To(Succeed())
		url, managementURL := replica(ctx, func(o *gateway.Options) { o.Auth.Mode, o.Auth.File = "token-file", file })

		body := alertBody("firing", podAlert())
		answer := post(ctx, url, body)
		Expect(answer.Code).To(Equal(http.StatusUnauthorized))
		Expect(answer.Header.Get("WWW-Authenticate")).To(HavePrefix("Bearer"))

		header := alertmanager.JSON()
		header.Set("Authorization", "Bearer "+token)
		answer = call(ctx, url, http.MethodPost, alertmanager.Path, header, body)
		Expect(answer.Code).To(Equal(http.StatusCreated))
		Expect(trailOf(ctx, answer.RemediationRequestName, managementURL)).To(
			trailtest.HaveAudited(signalReceived, trailtest.WithActorID("alertmanager")))
	}, SpecTimeout(specTimeout))

	Describe("to signals that exceed the bounds of a request", func() {
		const maxPairs, maxValue, maxMap = 128, 4 << 10, 32 << 10

		// accepted sends an alert and returns the stored request, after it has
		// compared its labels with those of the event of its creation.
		accepted := func(ctx SpecContext, labels map[string]string) *v1alpha1.RemediationRequest {
			GinkgoHelper()
			answer := post(ctx, env.GatewayURL, alertBody("firing", labels))
			Expect(answer.Code).To(Equal(http.StatusCreated))
			rr := &v1alpha1.RemediationRequest{}
			key := client.ObjectKey{Namespace: answer.RemediationRequestNamespace, Name: answer.RemediationRequestName}
			Expect(env.Get(ctx, key, rr)).To(Succeed())
			events := audited(ctx, rr.Name)
			Expect(events.Of(requestCreated)).To(HaveLen(1))
			for label, value := range rr.Spec.Labels {
				Expect(events).To(trailtest.HaveAudited(requestCreated, trailtest.WithData("spec.labels."+label, value)))
			}
			return rr
		}

		It("stores the labels that sort first, within the number of labels", func(ctx SpecContext) {
			labels := podAlert()
			for i := range 300 {
				labels[fmt.Sprintf("label_%03d", i)] = "value"
			}
			stored := accepted(ctx, labels).Spec.Labels
			Expect(stored).To(HaveLen(maxPairs))
			Expect(stored).To(HaveKeyWithValue("alertname", labels["alertname"]))
			Expect(stored).To(HaveKey(fmt.Sprintf("label_%03d", maxPairs-2)), "the last one beside alertname")
			Expect(stored).NotTo(HaveKey(fmt.Sprintf("label_%03d", maxPairs-1)))
		}, SpecTimeout(specTimeout))

		It("stores values that are cut, valid and within their total size", func(ctx SpecContext) {
			labels := podAlert()
			labels["a_long"] = strings.Repeat("é", maxValue)
			for i := range 300 {
				labels[fmt.Sprintf("label_%03d", i)] = strings.Repeat("é\u0000<", i)
			}
			rr := accepted(ctx, labels)
			stored, size := rr.Spec.Labels, 0
			for label, value := range stored {
				Expect(len(value)).To(BeNumerically("<=", maxValue), label)
				Expect(utf8.ValidString(value)).To(BeTrue(), label)
				Expect(value).NotTo(ContainSubstring("\x00"), label)
				size += len(label) + len(value)
			}
			Expect(len(stored)).To(BeNumerically("<=", maxPairs))
			Expect(size).To(And(BeNumerically("<=", maxMap), BeNumerically(">", maxMap-1<<10)), "as much as there is space for")
			Expect(stored).To(HaveKeyWithValue("a_long", strings.Repeat("é", maxValue/2)))
			Expect(stored).To(HaveKeyWithValue("label_050", strings.Repeat("é\uFFFD<", 50)), "a NUL cannot be stored")
			Expect(len(rr.Spec.OriginalPayload)).To(BeNumerically("<=", 64<<10))
		}, SpecTimeout(specTimeout))
	})
})
