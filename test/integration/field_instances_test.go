//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/trailtest"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// fieldInput is an input as it was seen in the field.
func fieldInput(name string) []byte {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join("testdata", "field", name))
	Expect(err).NotTo(HaveOccurred())
	return text
}

// duplicatesIn counts the duplicates of a trail, recorded one by one or together.
func duplicatesIn(events testenv.Trail) (count int64) {
	GinkgoHelper()
	for _, e := range events.Of(signalDeduplicated) {
		var data struct {
			Count *int64 `json:"count"`
		}
		Expect(json.Unmarshal(e.EventData, &data)).To(Succeed())
		count += ptr.Deref(data.Count, 1)
	}
	return count
}

// ownPipeline starts a pipeline for the spec alone.
func ownPipeline(ctx context.Context) *testenv.Pipeline {
	GinkgoHelper()
	p, err := env.NewPipeline(ctx, testenv.PipelineOptions{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(p.Stop()).To(Succeed()) })
	return p
}

// requestIn reads the request of a result.
func requestIn(ctx context.Context, r alertmanager.Result) *v1alpha1.RemediationRequest {
	GinkgoHelper()
	rr := &v1alpha1.RemediationRequest{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName}, rr)).To(Succeed())
	return rr
}

// mixedBody is a notification with an alert for each state.
func mixedBody(alerts ...alertmanager.Alert) []byte {
	GinkgoHelper()
	body, err := json.Marshal(map[string]any{"version": "4", "receiver": "kubernaut", "status": "firing", "alerts": alerts})
	Expect(err).NotTo(HaveOccurred())
	return body
}

// sibling returns an alert's labels for another container of the pod.
func sibling(labels map[string]string, container string) map[string]string {
	other := maps.Clone(labels)
	other["container"] = container
	return other
}

var _ = Describe("gateway: instances of signals", func() {
	It("field S8: lists a higher severity on the open request, and records the old and the new one", func(ctx SpecContext) {
		p := ownPipeline(ctx)
		first := post(ctx, p.GatewayURL, fieldInput("escalation-warning.json"))
		Expect(first.Code).To(Equal(http.StatusCreated))
		for range 2 {
			again := post(ctx, p.GatewayURL, fieldInput("escalation-critical.json"))
			Expect(again.Code).To(Equal(http.StatusOK))
			Expect(again.RemediationRequestName).To(Equal(first.RemediationRequestName))

			signals := requestIn(ctx, again.Result).Status.Signals
			Expect(signals).NotTo(BeNil(), "it is written before the answer")
			Expect(signals.Severities).To(Equal([]string{"warning", "critical"}))
			Expect(signals.Instances).To(HaveExactElements(HaveField("Severity", "warning"), HaveField("Severity", "critical")))
		}
		trail, err := p.AuditTrail(ctx, first.RemediationRequestName)
		Expect(err).NotTo(HaveOccurred())
		Expect(trail).To(trailtest.HaveAuditedTimes(1, signalDeduplicated,
			trailtest.WithData("old_severity", "warning"), trailtest.WithData("new_severity", "critical")))
	}, SpecTimeout(specTimeout))

	It("field S9: ends a problem when no instance fires, and gives one body the same answer each time", func(ctx SpecContext) {
		url, managementURL := replica(ctx, nil)
		labels := podAlert()
		a, b := sibling(labels, "a"), sibling(labels, "b")
		started := time.Now().Add(-time.Minute).UTC()
		alert := func(status string, labels map[string]string) alertmanager.Alert {
			return alertmanager.Alert{Status: status, Labels: labels, StartsAt: started, EndsAt: started.Add(30 * time.Second)}
		}
		fires := func(r alertmanager.Result) []string {
			rr := requestIn(ctx, r)
			if rr.Status.Signals == nil {
				return []string{"the first"}
			}
			ids := make([]string, 0, len(rr.Status.Signals.Instances))
			for _, i := range rr.Status.Signals.Instances {
				ids = append(ids, i.ID)
			}
			return ids
		}
		first := post(ctx, env.GatewayURL, mixedBody(alert(alertmanager.Firing, a), alert(alertmanager.Firing, b)))
		Expect(first.Results).To(HaveExactElements(HaveField("Status", "created"), HaveField("Status", "duplicate")))
		Expect(fires(first.Results[0])).To(HaveLen(2))

		mixed := mixedBody(alert(alertmanager.Resolved, a), alert(alertmanager.Firing, b))
		urls := []string{env.GatewayURL, url, env.GatewayURL, url}
		answers := make([][]alertmanager.Result, 0, len(urls))
		for _, gatewayURL := range urls {
			answer := post(ctx, gatewayURL, mixed)
			Expect(answer.Code).To(Equal(http.StatusMultiStatus))
			answers = append(answers, answer.Results)
			Expect(fires(answer.Results[0])).To(HaveLen(1), "it is written before the answer")
		}
		Expect(answers).To(HaveEach(answers[0]))
		Expect(answers[0]).To(HaveExactElements(HaveField("Status", "resolved"), HaveField("Status", "duplicate")))
		Expect(requestIn(ctx, first.Results[0]).Status.Signals.EndedAt).To(BeNil(), "the sibling fires still")

		last := mixedBody(alert(alertmanager.Resolved, b))
		for range 2 {
			Expect(post(ctx, env.GatewayURL, last).Status).To(Equal("resolved"))
			Expect(fires(first.Results[0])).To(BeEmpty())
		}
		ended := requestIn(ctx, first.Results[0]).Status.Signals.EndedAt
		Expect(ended).NotTo(BeNil())
		late := mixedBody(alert(alertmanager.Firing, b))
		Expect(post(ctx, env.GatewayURL, late).Status).To(Equal("duplicate"), "delayed, and overtaken by its end")
		Expect(requestIn(ctx, first.Results[0]).Status.Signals.EndedAt).To(Equal(ended))

		again := alert(alertmanager.Firing, b)
		again.StartsAt = time.Now().UTC()
		Expect(post(ctx, env.GatewayURL, mixedBody(again)).Status).To(Equal("duplicate"))
		Expect(fires(first.Results[0])).To(HaveLen(1))
		Expect(requestIn(ctx, first.Results[0]).Status.Signals.EndedAt).To(BeNil())
		trail := trailOf(ctx, first.Results[0].RemediationRequestName, managementURL)
		Expect(trail.Of(signalReceived)).To(HaveLen(1))
		Expect(trail.Of(signalResolved)).NotTo(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("field S9: writes no status for the first signal of a request", func(ctx SpecContext) {
		url, _ := replica(ctx, nil)
		answer := post(ctx, url, alertBody("firing", podAlert()))
		rr := requestIn(ctx, answer.Result)
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		Expect(rr.Occurrences()).To(BeEquivalentTo(1))
		Expect(rr.Status.Signals).To(BeNil())
	}, SpecTimeout(specTimeout))

	It("field S19: records ten duplicates in an hour one by one, the others together, and each change of state", func(ctx SpecContext) {
		p := ownPipeline(ctx)
		labels := podAlert()
		first := post(ctx, p.GatewayURL, alertBody("firing", labels))
		const storm, senders = 300, 6
		var group sync.WaitGroup
		for range senders {
			group.Go(func() {
				defer GinkgoRecover()
				for range storm / senders {
					Expect(post(ctx, p.GatewayURL, alertBody("firing", labels)).Code).To(Equal(http.StatusOK))
				}
			})
		}
		const changes = 15
		for i := range changes {
			other := sibling(labels, fmt.Sprint("c", i))
			Expect(post(ctx, p.GatewayURL, alertBody("firing", other)).Code).To(Equal(http.StatusOK))
			Expect(post(ctx, p.GatewayURL, alertBody("resolved", other)).Status).To(Equal("resolved"))
		}
		group.Wait()
		rr := requestIn(ctx, first.Result)
		Expect(rr.Status.Signals.Instances).To(HaveLen(1), "each change was written before its answer")
		trail, err := p.AuditTrail(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(trail.Of(signalReceived)).To(HaveLen(1))
		Expect(trail.Of(signalResolved)).To(HaveLen(changes))
		together := slices.DeleteFunc(trail.Of(signalDeduplicated), func(e datastorage.StoredEvent) bool {
			return !bytes.Contains(e.EventData, []byte(`"count"`))
		})
		Expect(together).NotTo(BeEmpty())
		Expect(trail.Of(signalDeduplicated)).To(HaveLen(10 + changes + len(together)))
		Expect(duplicatesIn(trail)).To(BeEquivalentTo(storm+changes), "none is missing")
		duration := together[len(together)-1].EventTimestamp.Sub(together[0].EventTimestamp)
		Expect(float64(len(together))).To(BeNumerically("<=", duration.Seconds()+2), "the last is that of the flush")
	}, SpecTimeout(specTimeout))
})

var _ = Describe("gateway: admission", func() {
	var p *testenv.Pipeline
	var otherURL, otherManagementURL string

	BeforeEach(func(ctx SpecContext) {
		p = ownPipeline(ctx)
		otherURL, otherManagementURL = replica(ctx, func(o *gateway.Options) {
			o.Namespace, o.WatchNamespaces = p.Namespace, []string{p.Namespace}
		})
	})

	// eventsAbout flushes both Gateways and queries the events of a signal once.
	eventsAbout := func(ctx SpecContext, signalName string) []datastorage.StoredEvent {
		GinkgoHelper()
		receipts, err := audittrail.Flush(ctx, http.DefaultClient, append([]string{otherManagementURL}, p.ManagementURLs...), "")
		Expect(err).NotTo(HaveOccurred())
		parameters := []string{"detail_key", "signal_name", "detail_value", signalName, "limit", "1000", "order", "asc"}
		for _, r := range receipts {
			if r.ConsistencyToken != "" {
				parameters = append(parameters, "at_least", r.ConsistencyToken)
			}
		}
		return findAll(ctx, p.DataStorage.URL, parameters...)
	}
	typesOf := func(events []datastorage.StoredEvent) []string { return testenv.Trail(events).Types() }

	// awaitDenial waits until the API server denies requests with an alert's name.
	awaitDenial := func(ctx SpecContext, signalName string) {
		GinkgoHelper()
		sample := sampleRequest(p.Namespace, signalName)
		Eventually(ctx, func() error { return env.Create(ctx, sample.DeepCopy(), client.DryRunAll) }).Should(HaveOccurred())
	}

	// deny puts the field's policy in force for alerts of one name in the pipeline's namespace.
	deny := func(ctx SpecContext, signalName string, reason *metav1.StatusReason) (policyName string) {
		GinkgoHelper()
		policyName = testenv.Unique("require-cost-center-*")
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(fieldInput("vap-deny-requests.yaml")), 4096)
		policy, binding := &admissionregistrationv1.ValidatingAdmissionPolicy{}, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
		Expect(decoder.Decode(policy)).To(Succeed())
		Expect(decoder.Decode(binding)).To(Succeed())
		policy.Name, binding.Name, binding.Spec.PolicyName = policyName, policyName, policyName
		policy.Spec.Validations[0].Reason = reason
		policy.Spec.MatchConditions = []admissionregistrationv1.MatchCondition{{
			Name: "one-alert", Expression: fmt.Sprintf("object.spec.signalName == %q", signalName),
		}}
		binding.Spec.MatchResources = &admissionregistrationv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: p.Namespace}},
		}
		for _, object := range []client.Object{policy, binding} {
			Expect(env.Create(ctx, object)).To(Succeed())
			DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(env.Delete(ctx, object))).To(Succeed()) })
		}
		awaitDenial(ctx, signalName)
		return policyName
	}

	for _, reason := range []*metav1.StatusReason{nil, ptr.To(metav1.StatusReasonForbidden)} {
		It(fmt.Sprintf("field S11: a policy's denial (reason %q) is temporary, named, and recorded once", ptr.Deref(reason, "")), func(ctx SpecContext) {
			before, denied, after := podAlert(), podAlert(), podAlert()
			policyName := deny(ctx, denied["alertname"], reason)
			body := alertBody("firing", before, denied, after)

			answer := post(ctx, p.GatewayURL, body)
			Expect(answer.Code).To(Equal(http.StatusServiceUnavailable))
			Expect(answer.Header.Get("Retry-After")).NotTo(BeEmpty())
			var requests v1alpha1.RemediationRequestList
			Expect(env.List(ctx, &requests, client.InNamespace(p.Namespace))).To(Succeed())
			Expect(requests.Items).To(HaveLen(2), "the others were attempted, whatever their order")
			failures := eventsAbout(ctx, denied["alertname"])
			Expect(typesOf(failures)).To(Equal([]string{signalReceived, requestFailed}))
			Expect(testenv.Trail(failures)).To(trailtest.HaveAudited(requestFailed,
				trailtest.WithData("denied_by.kind", "policy"), trailtest.WithData("denied_by.name", policyName)))
			Expect(string(storeCall(ctx, p.ManagementURLs[0], http.MethodGet, "/metrics", nil, nil).body)).To(
				ContainSubstring(`gateway_admission_denials_total{kind="policy",name=%q} 1`, policyName))

			for range 3 {
				Expect(post(ctx, p.GatewayURL, body).Code).To(Equal(http.StatusServiceUnavailable))
			}
			Expect(eventsAbout(ctx, denied["alertname"])).To(Equal(failures), "a retry records nothing new")
			Expect(typesOf(eventsAbout(ctx, before["alertname"]))).To(Equal([]string{signalReceived}))
			Expect(post(ctx, otherURL, body).Code).To(Equal(http.StatusServiceUnavailable))
			others := eventsAbout(ctx, before["alertname"])
			Expect(post(ctx, otherURL, body).Code).To(Equal(http.StatusServiceUnavailable))
			Expect(eventsAbout(ctx, before["alertname"])).To(Equal(others), "at the other replica neither")

			binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: policyName}}
			Expect(env.Delete(ctx, binding)).To(Succeed())
			Eventually(ctx, func(ctx SpecContext) int { return post(ctx, p.GatewayURL, body).Code }).Should(Equal(http.StatusMultiStatus))
			Expect(env.List(ctx, &requests, client.InNamespace(p.Namespace))).To(Succeed())
			Expect(requests.Items).To(HaveLen(3))
		}, SpecTimeout(specTimeout))
	}

	It("field S11: a webhook's denial is temporary and named, whatever its code", func(ctx SpecContext) {
		w := newDenier(ctx, p.Namespace)
		alert := podAlert()
		awaitDenial(ctx, alert["alertname"])
		for _, code := range []int32{http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError, 0} {
			w.code.Store(code)
			denied := podAlert()
			Expect(post(ctx, p.GatewayURL, alertBody("firing", denied)).Code).To(Equal(http.StatusServiceUnavailable), "code %d", code)
			Expect(testenv.Trail(eventsAbout(ctx, denied["alertname"]))).To(trailtest.HaveAudited(requestFailed,
				trailtest.WithData("denied_by.kind", "webhook"), trailtest.WithData("denied_by.name", w.name)), "code %d", code)
		}
	}, SpecTimeout(specTimeout))

	// The Gateway keeps every spec within the schema, so this asks the API server:
	// the permanent rejection depends on what it answers.
	It("field S11: a violation of the schema names fields, which a policy's denial does not", func(ctx SpecContext) {
		denied := podAlert()
		deny(ctx, denied["alertname"], nil)
		sample := func(signalName, severity string) metav1.Status {
			GinkgoHelper()
			rr := sampleRequest(p.Namespace, signalName)
			rr.Spec.Severity = severity
			status, ok := errors.AsType[*apierrors.StatusError](env.Create(ctx, rr, client.DryRunAll))
			Expect(ok).To(BeTrue())
			return status.Status()
		}
		policy, schema := sample(denied["alertname"], ""), sample("A", strings.Repeat("x", 64))
		for _, status := range []metav1.Status{policy, schema} {
			Expect(status.Code).To(BeEquivalentTo(http.StatusUnprocessableEntity))
			Expect(status.Reason).To(Equal(metav1.StatusReasonInvalid))
		}
		Expect(schema.Details.Causes).To(HaveEach(SatisfyAll(HaveField("Type", Not(BeEmpty())), HaveField("Field", Not(BeEmpty())))))
		Expect(policy.Details.Causes).To(HaveEach(SatisfyAll(HaveField("Type", BeEmpty()), HaveField("Field", BeEmpty()))))
	}, SpecTimeout(specTimeout))

	It("field S11: a quota's denial is temporary and named", func(ctx SpecContext) {
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: "few"}}
		none := corev1.ResourceList{"count/remediationrequests.kubernaut.ai": resource.MustParse("0")}
		quota.Spec.Hard = none
		Expect(env.Create(ctx, quota)).To(Succeed())
		quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
		Expect(env.Status().Update(ctx, quota)).To(Succeed())
		denied := podAlert()
		awaitDenial(ctx, denied["alertname"])
		Expect(post(ctx, p.GatewayURL, alertBody("firing", denied)).Code).To(Equal(http.StatusServiceUnavailable))
		Expect(testenv.Trail(eventsAbout(ctx, denied["alertname"]))).To(trailtest.HaveAudited(requestFailed,
			trailtest.WithData("denied_by.kind", "quota"), trailtest.WithData("denied_by.name", "few")))
	}, SpecTimeout(specTimeout))
})

// sampleRequest is a request for a dry run.
func sampleRequest(namespace, signalName string) *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sample"},
		Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
			SignalFingerprint: fmt.Sprintf("%064x", 1), SignalName: signalName, SignalType: v1alpha1.SignalTypeAlert, SignalSource: "s",
			TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "p"},
			FiringTime:     metav1.NowMicro(), ReceivedTime: metav1.NowMicro(),
		}},
	}
}

// denier is an admission webhook that denies every request of a namespace.
type denier struct {
	name string
	code atomic.Int32 // of its answer; 0 means that it gives none in time
	// words say why.
	words atomic.Pointer[string]
}

// newDenier registers a webhook until the end of the spec.
func newDenier(ctx context.Context, namespace string) *denier {
	GinkgoHelper()
	d := &denier{name: testenv.Unique("*.example.com")}
	d.code.Store(http.StatusForbidden)
	d.words.Store(new("not here"))
	server := httptest.NewTLSServer(http.HandlerFunc(d.review))
	DeferCleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: d.name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         d.name,
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &server.URL, CABundle: authority},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"kubernaut.ai"}, APIVersions: []string{"*"}, Resources: []string{"remediationrequests"}},
			}},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			FailurePolicy:           ptr.To(admissionregistrationv1.Fail),
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          new(int32(1)),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
	Expect(env.Create(ctx, configuration)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, configuration)).To(Succeed()) })
	return d
}

// review answers the API server.
func (d *denier) review(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	text, err := io.ReadAll(r.Body)
	code := d.code.Load()
	if code == 0 {
		<-r.Context().Done() // which a server notices once the body is read
		return
	}
	if err := errors.Join(err, json.Unmarshal(text, &review)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{
		UID: review.Request.UID, Result: &metav1.Status{Code: code, Message: *d.words.Load()},
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(&review); err != nil {
		panic(http.ErrAbortHandler) // the API server went away
	}
}
