//go:build integration

package integration_test

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"

	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audittrail"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// call sends a request with a random X-Request-ID.
func call(ctx context.Context, url, method, path string, header http.Header, body []byte) alertmanager.Answer {
	GinkgoHelper()
	answer, err := alertmanager.Call{
		URL: url, Method: method, Path: path, Header: header, Body: body, RequestID: env.CorrelationID(),
	}.Do(ctx)
	Expect(err).NotTo(HaveOccurred())
	return answer
}

// post sends a body as Alertmanager does.
func post(ctx context.Context, url string, body []byte) alertmanager.Answer {
	GinkgoHelper()
	return call(ctx, url, http.MethodPost, alertmanager.Path, alertmanager.JSON(), body)
}

// realBody is a body that an unmodified Alertmanager sent.
func realBody(name string) []byte {
	GinkgoHelper()
	body, err := alertmanager.Real(name)
	Expect(err).NotTo(HaveOccurred())
	return body
}

// alertBody is a body of the webhook about alerts with these labels.
func alertBody(status string, labels ...map[string]string) []byte {
	GinkgoHelper()
	body, err := alertmanager.Body(status, labels...)
	Expect(err).NotTo(HaveOccurred())
	return body
}

// podAlert returns the labels of a random alert about a pod of the process's namespace.
func podAlert() map[string]string {
	name := env.CorrelationID()
	return map[string]string{"alertname": "Alert-" + name, "namespace": env.Namespace, "pod": name, "severity": "warning"}
}

// replica starts another Gateway for the process's namespace, returns its
// addresses, and stops it at the end of the spec.
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
	running, err := lifecycle.Start(ctx, "Gateway", a)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(running.Stop()).To(Succeed()) })
	return a.APIURL(), a.ManagementURL()
}

// trailOf flushes the process's services and a replica, and then queries once.
func trailOf(ctx context.Context, correlationID, managementURL string) testenv.Trail {
	GinkgoHelper()
	env.Track(correlationID)
	reader, err := audittrail.NewReader(audittrail.Options{
		DataStorageURL: env.DataStorage.URL, ManagementURLs: append([]string{managementURL}, env.ManagementURLs...),
	})
	Expect(err).NotTo(HaveOccurred())
	events, err := reader.Read(ctx, correlationID)
	Expect(err).NotTo(HaveOccurred())
	return events
}

// audited flushes the process's services and then queries once.
func audited(ctx context.Context, correlationID string) testenv.Trail {
	GinkgoHelper()
	events, err := env.AuditTrail(ctx, correlationID)
	Expect(err).NotTo(HaveOccurred())
	return events
}
