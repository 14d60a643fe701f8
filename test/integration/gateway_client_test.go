package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"

	"kubernaut.ai/pkg/service"
	"kubernaut.ai/pkg/service/trail"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/testenv"
)

const webhookPath = "/api/v1/signals/prometheus"

// gatewayResult is the Gateway's answer about one signal.
type gatewayResult struct {
	Status                      string `json:"status"`
	Fingerprint                 string `json:"fingerprint"`
	Duplicate                   bool   `json:"duplicate"`
	RemediationRequestName      string `json:"remediationRequestName"`
	RemediationRequestNamespace string `json:"remediationRequestNamespace"`
	Message                     string `json:"message"`
	// FieldErrors of a signal that is not usable.
	FieldErrors map[string]string `json:"field_errors"`
}

// gatewayProblem is the Gateway's answer when it took nothing.
type gatewayProblem struct {
	Detail      string            `json:"detail"`
	FieldErrors map[string]string `json:"field_errors"`
}

// gatewayTaken is the Gateway's answer about one signal or several.
type gatewayTaken struct {
	gatewayResult

	Results []gatewayResult `json:"results"`
	Summary map[string]int  `json:"summary"`
}

// gatewayAnswer is any answer of the Gateway.
type gatewayAnswer struct {
	gatewayTaken
	gatewayProblem

	code      int
	header    http.Header
	requestID string
}

// call sends a request with a random X-Request-ID.
func call(ctx context.Context, url, method, path string, header http.Header, body []byte) gatewayAnswer {
	GinkgoHelper()
	r, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	r.Header = header.Clone()
	answer := gatewayAnswer{requestID: env.CorrelationID()}
	r.Header.Set("X-Request-ID", answer.requestID)
	response, err := http.DefaultClient.Do(r)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	answer.code, answer.header = response.StatusCode, response.Header
	var into any = &answer.gatewayTaken
	if answer.code >= http.StatusBadRequest {
		into = &answer.gatewayProblem
	}
	Expect(json.Unmarshal(text, into)).To(Succeed(), "answer %s", text)
	Expect(answer.header.Get("X-Request-ID")).To(Equal(answer.requestID))
	return answer
}

// post sends a body as Alertmanager does.
func post(ctx context.Context, url string, body []byte) gatewayAnswer {
	GinkgoHelper()
	return call(ctx, url, http.MethodPost, webhookPath, jsonHeader(), body)
}

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// realBody is a body that an unmodified Alertmanager has sent.
func realBody(name string) []byte {
	GinkgoHelper()
	body, err := os.ReadFile(filepath.Join("..", "..", "services", "gateway", "signal", "testdata", name))
	Expect(err).NotTo(HaveOccurred())
	return body
}

// alertBody is the webhook's body about alerts with these labels.
func alertBody(status string, labels ...map[string]string) []byte {
	GinkgoHelper()
	alerts := make([]map[string]any, 0, len(labels))
	for _, l := range labels {
		alerts = append(alerts, map[string]any{
			"status": status, "labels": l, "startsAt": time.Now().UTC(), "endsAt": time.Now().UTC(),
		})
	}
	body, err := json.Marshal(map[string]any{"version": "4", "receiver": "kubernaut", "status": status, "alerts": alerts})
	Expect(err).NotTo(HaveOccurred())
	return body
}

// podAlert is the labels of a random alert about a pod of the process's namespace.
func podAlert() map[string]string {
	name := env.CorrelationID()
	return map[string]string{"alertname": "Alert-" + name, "namespace": env.Namespace, "pod": name, "severity": "warning"}
}

// replica starts another Gateway for the namespace of the process's own. It
// returns its addresses; the spec's end stops it.
func replica(ctx context.Context, change func(*gateway.Options)) (url, managementURL string) {
	GinkgoHelper()
	options := gateway.Options{
		DataStorageURL: env.DataStorage.URL, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0",
		RESTConfig: env.Config, Namespace: env.Namespace, WatchNamespaces: []string{env.Namespace}, Log: zap.NewNop(),
	}
	if change != nil {
		change(&options)
	}
	a, err := gateway.New(options)
	Expect(err).NotTo(HaveOccurred())
	running, err := service.Start(ctx, "Gateway", a)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(running.Stop()).To(Succeed()) })
	return a.APIURL(), a.ManagementURL()
}

// trailOf flushes the process's services and a replica, and queries once.
func trailOf(ctx context.Context, correlationID, managementURL string) testenv.Trail {
	GinkgoHelper()
	env.Track(correlationID)
	reader, err := trail.NewReader(trail.Options{
		DataStorageURL: env.DataStorage.URL, ManagementURLs: append([]string{managementURL}, env.ManagementURLs...),
	})
	Expect(err).NotTo(HaveOccurred())
	events, err := reader.Read(ctx, correlationID)
	Expect(err).NotTo(HaveOccurred())
	return events
}

// audited flushes the process's services and queries once.
func audited(ctx context.Context, correlationID string) testenv.Trail {
	GinkgoHelper()
	events, err := env.AuditTrail(ctx, correlationID)
	Expect(err).NotTo(HaveOccurred())
	return events
}
