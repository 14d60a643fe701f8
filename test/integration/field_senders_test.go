//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audittrail/trailtest"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// fieldBody is a body of a sender of the field.
func senderBody(name string) []byte {
	GinkgoHelper()
	return gatewayFile("alertmanager", "testdata", "field", name)
}

// gatewayFile is a file of an adapter.
func gatewayFile(path ...string) []byte {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "services", "gateway", "internal"}, path...)...))
	Expect(err).NotTo(HaveOccurred())
	return text
}

// metricsOf reads the metrics of a service.
func metricsOf(ctx context.Context, managementURL string) string {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, managementURL+"/metrics", nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

var _ = Describe("gateway: senders of the field", func() {
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

	It("field S12: a firing alert is never lost because of its start", func(ctx SpecContext) {
		sent := time.Now()
		answer := post(ctx, p.GatewayURL, senderBody("startsAt-forms.json"))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Summary).To(HaveKeyWithValue("created", 10))
		for i, r := range answer.Results {
			rr := &v1alpha1.RemediationRequest{}
			Expect(env.Get(ctx, client.ObjectKey{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName}, rr)).To(Succeed())
			Expect(rr.Spec.SignalName).To(Equal(fmt.Sprintf("Clock%d", i)))
			received := trail(ctx, rr.Name).Of(signalReceived)
			Expect(received).To(HaveLen(1))
			if i < 4 { // an offset, a fraction, lower case, more digits than nanoseconds have
				Expect(rr.Spec.FiringTime.UTC()).To(BeTemporally("~", time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC), time.Second))
				Expect(string(received[0].EventData)).NotTo(ContainSubstring("firing_time_note"))
				continue
			}
			Expect(rr.Spec.FiringTime.Time).To(BeTemporally(">=", sent.Add(-time.Second)), "the time of receipt")
			Expect(string(received[0].EventData)).To(ContainSubstring(`"firing_time_note":"startsAt is `))
		}
	}, SpecTimeout(specTimeout))

	It("field S13: Grafana, vmalert and Prometheus are accepted", func(ctx SpecContext) {
		answer := post(ctx, p.GatewayURL, senderBody("grafana-contact-point-test.json"))
		Expect(answer.Code).To(Equal(http.StatusCreated))
		Expect(trail(ctx, answer.RemediationRequestName)).To(trailtest.HaveAudited(requestCreated,
			trailtest.WithData("spec.signalSource", "https://grafana.example/")))

		By("posting the array of an Alertmanager's API, whose alert has ended")
		answer = post(ctx, p.GatewayURL, senderBody("v2-api-array.json"))
		Expect(answer.Code).To(Equal(http.StatusOK))
		Expect(answer.Status).To(Equal("ignored"))

		By("posting it as vmalert does, which appends the path of that API, while it fires")
		firing := bytes.Replace(senderBody("v2-api-array.json"), []byte("2026-09-01T08:04:00Z"), []byte(time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), 1)
		answer = call(ctx, p.GatewayURL, http.MethodPost, alertmanager.Path+"/api/v2/alerts", alertmanager.JSON(), firing)
		Expect(answer.Code).To(Equal(http.StatusCreated))
	}, SpecTimeout(specTimeout))

	It("field S13: what cannot be accepted names the sender and the setting that is meant", func(ctx SpecContext) {
		answer := post(ctx, p.GatewayURL, []byte(`{"title":"[Alerting] CPU","ruleId":1,"ruleName":"CPU","state":"alerting","evalMatches":[]}`))
		Expect(answer.Code).To(Equal(http.StatusBadRequest))
		Expect(answer.Detail).To(ContainSubstring("Grafana's unified alerting"))
		Expect(trail(ctx, answer.CorrelationID)).To(trailtest.HaveAudited(signalRejected, trailtest.WithErrorCode("http-400")))
	}, SpecTimeout(specTimeout))

	It("field S15: a posted event goes the same way with the same guarantees", func(ctx SpecContext) {
		for _, name := range []string{"core-v1.json", "events-v1.json"} {
			event := gatewayFile("kubernetesevent", "testdata", name)
			answer := call(ctx, p.GatewayURL, http.MethodPost, "/api/v1/signals/kubernetes-event", alertmanager.JSON(), event)
			Expect(answer.Code).To(Equal(http.StatusCreated))
			rr := &v1alpha1.RemediationRequest{}
			Expect(env.Get(ctx, client.ObjectKey{Namespace: answer.RemediationRequestNamespace, Name: answer.RemediationRequestName}, rr)).To(Succeed())
			Expect(rr.Spec.SignalType).To(Equal(v1alpha1.SignalTypeKubernetesEvent))
			Expect(rr.Spec.TargetResource.APIVersion).To(Equal("v1"))
			types := trail(ctx, rr.Name).Types()
			Expect(types[0]).To(Equal(signalReceived))
			Expect(types).To(ContainElement(requestCreated))

			By("posting the next occurrence of " + rr.Spec.SignalName)
			again := bytes.Replace(event, []byte("2026-11-23T09:35"), []byte("2026-11-23T09:36"), 1)
			answer = call(ctx, p.GatewayURL, http.MethodPost, "/api/v1/signals/kubernetes-event", alertmanager.JSON(), again)
			Expect(answer.Code).To(Equal(http.StatusOK))
			Expect(answer.RemediationRequestName).To(Equal(rr.Name))
			Expect(trail(ctx, rr.Name)).To(trailtest.HaveAudited(signalDeduplicated, trailtest.WithData("source", "kubernetes-event")))
		}
		answer := call(ctx, p.GatewayURL, http.MethodPost, "/api/v1/signals/kubernetes-event", alertmanager.JSON(), []byte(`{"kind":"Pod"}`))
		Expect(answer.Code).To(Equal(http.StatusBadRequest))
		Expect(answer.Problem.FieldErrors).To(SatisfyAll(HaveKey("kind"), HaveKey("reason"), HaveKey("involvedObject")))
	}, SpecTimeout(specTimeout))

	It("field S17: a caller's X-Request-ID is data, and chooses no trail", func(ctx SpecContext) {
		victim := post(ctx, p.GatewayURL, alertBody("firing", podAlert()))
		Expect(victim.Code).To(Equal(http.StatusCreated))
		before := trail(ctx, victim.RemediationRequestName)

		answer, err := alertmanager.Call{URL: p.GatewayURL, Body: []byte("{"), RequestID: victim.RemediationRequestName}.Do(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(answer.Code).To(Equal(http.StatusBadRequest))
		Expect(answer.Header.Get("X-Request-ID")).To(Equal(victim.RemediationRequestName), "for the caller's own log")
		Expect(answer.CorrelationID).To(HavePrefix("gw-"))
		Expect(trail(ctx, answer.CorrelationID)).To(trailtest.HaveAudited(signalRejected,
			trailtest.WithData("request_id", victim.RemediationRequestName)))
		Expect(trail(ctx, victim.RemediationRequestName).Of(signalRejected)).To(BeEmpty())
		Expect(len(trail(ctx, victim.RemediationRequestName))).To(BeNumerically(">=", len(before)))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("gateway: large bodies", func() {
	It("field S16: every usable alert within the bounds is taken, and the others are counted", func(ctx SpecContext) {
		url, managementURL := replica(ctx, func(o *gateway.Options) { o.MaxSignals = 20 })
		alerts := make([]map[string]string, 25)
		for i := range alerts {
			alerts[i] = podAlert()
		}
		answer := post(ctx, url, alertBody("firing", alerts...))
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Summary).To(SatisfyAll(HaveKeyWithValue("created", 20), HaveKeyWithValue("truncated", 5)))
		Expect(trailOf(ctx, answer.CorrelationID, managementURL)).To(trailtest.HaveAudited(signalTruncated,
			trailtest.WithData("truncated_alerts", 5), trailtest.WithData("taken", 20), trailtest.WithSeverity("warning")))
		Expect(metricsOf(ctx, managementURL)).To(ContainSubstring(`gateway_signals_truncated_total{by="gateway",source="alertmanager"} 5`))
	}, SpecTimeout(specTimeout))

	It("field S16: a million empty alerts get a clear answer, and do not hide a usable one", func(ctx SpecContext) {
		url, managementURL := replica(ctx, nil)
		blank := `{"alerts":[{}` + strings.Repeat(`,{}`, 1_400_000-1) + `]}`
		answer := post(ctx, url, []byte(blank))
		Expect(answer.Code).To(Equal(http.StatusRequestEntityTooLarge))
		Expect(answer.Problem.FieldErrors).To(HaveKey("alerts[0].status"))
		Expect(len(answer.Problem.FieldErrors)).To(BeNumerically("<=", 33))
		Expect(trailOf(ctx, answer.CorrelationID, managementURL)).To(trailtest.HaveAudited(signalRejected, trailtest.WithErrorCode("http-413")))

		usable := bytes.Replace(alertBody("firing", podAlert()), []byte(`]`), []byte(strings.Repeat(`,{}`, 1_400_000)+`]`), 1)
		answer = post(ctx, url, usable)
		Expect(answer.Code).To(Equal(http.StatusMultiStatus))
		Expect(answer.Summary).To(SatisfyAll(HaveKeyWithValue("created", 1), HaveKeyWithValue("rejected", 1_400_000)))
		Expect(metricsOf(ctx, managementURL)).To(ContainSubstring(`kubernaut_memory_used_bytes{use="bodies"} 0`))
	}, SpecTimeout(specTimeout))
})

// watchEvents starts a Gateway that takes the events of a namespace.
func watchEvents(ctx context.Context, namespace string) (stop func() error) {
	GinkgoHelper()
	a, err := gateway.New(gateway.Options{
		DataStorageURL: env.DataStorage.URL, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0", RESTConfig: env.Config,
		Namespace: namespace, WatchNamespaces: []string{namespace}, WatchEvents: true, Log: zap.NewNop(),
	})
	Expect(err).NotTo(HaveOccurred())
	running, err := lifecycle.Start(ctx, "Gateway", a)
	Expect(err).NotTo(HaveOccurred())
	return running.Stop
}

// awaitPosition waits until a Gateway watches the events of a namespace, and returns the Lease with its position.
func awaitPosition(ctx context.Context, namespace string) *coordinationv1.Lease {
	GinkgoHelper()
	position := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gateway-event-position"}}
	Expect(testenv.WaitFor(ctx, env, position, func(l *coordinationv1.Lease) bool {
		return l.Annotations["kubernaut.ai/event-positions"] != ""
	})).To(Succeed())
	return position
}

// reportEvent makes an event about a pod.
func reportEvent(ctx context.Context, namespace, reason, kind string) {
	GinkgoHelper()
	now := metav1.Now()
	Expect(env.Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, GenerateName: "event-"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: "db-0"},
		Reason:         reason, Type: kind, Message: "invented", FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: "kubelet"},
	})).To(Succeed())
}

// awaitSignals waits until a namespace has requests for exactly these signals.
func awaitSignals(ctx context.Context, namespace string, reasons ...string) {
	GinkgoHelper()
	Expect(testenv.WaitForAll(ctx, env, &v1alpha1.RemediationRequestList{}, func(seen map[client.ObjectKey]*v1alpha1.RemediationRequest) bool {
		names := make([]string, 0, len(seen))
		for _, rr := range seen {
			names = append(names, rr.Spec.SignalName)
		}
		slices.Sort(names)
		return slices.Equal(names, reasons)
	}, client.InNamespace(namespace))).To(Succeed())
}

var _ = Describe("gateway: the watch of events", func() {
	It("field S15: a watched event goes the same way, and none is missed between two replicas", func(ctx SpecContext) {
		namespace, err := env.NewNamespace(ctx, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		stop := watchEvents(ctx, namespace)
		awaitPosition(ctx, namespace)
		reportEvent(ctx, namespace, "Scheduled", corev1.EventTypeNormal)
		reportEvent(ctx, namespace, "BackOff", corev1.EventTypeWarning)
		awaitSignals(ctx, namespace, "BackOff")
		Expect(stop()).To(Succeed())

		By("reporting an event while no replica watches")
		reportEvent(ctx, namespace, "FailedMount", corev1.EventTypeWarning)
		stop = watchEvents(ctx, namespace)
		awaitSignals(ctx, namespace, "BackOff", "FailedMount")
		Expect(stop()).To(Succeed())

		var requests v1alpha1.RemediationRequestList
		Expect(env.List(ctx, &requests, client.InNamespace(namespace))).To(Succeed())
		for _, rr := range requests.Items {
			Expect(rr.Spec.TargetResource).To(Equal(v1alpha1.TargetResource{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: "db-0"}))
			events := audited(ctx, rr.Name)
			Expect(events.Of(signalReceived)).NotTo(BeEmpty())
			Expect(events.Of(requestCreated)).To(HaveLen(1))
		}
	}, SpecTimeout(specTimeout))
})
