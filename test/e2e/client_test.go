//go:build e2e

package e2e_test

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

// The types of the Gateway's events.
const (
	signalReceived     = testenv.SignalReceived
	requestCreated     = testenv.RequestCreated
	signalDeduplicated = "gateway.signal.deduplicated"
	signalResolved     = "gateway.signal.resolved"
	signalRejected     = "gateway.signal.rejected"
	signalTruncated    = "gateway.signal.truncated"
	manualReview       = "remediation.manual_review.required"
)

// podAlert returns the labels of a random alert about a pod in the process's namespace
// that does not exist.
func podAlert() map[string]string {
	name := testenv.Unique("alert-*")
	return map[string]string{"alertname": name, "namespace": env.Namespace, "pod": name, "severity": "warning"}
}

// tryPost sends a body to a Gateway. It does not fail the spec, and so can be called
// in goroutines.
func tryPost(ctx context.Context, url string, body []byte) (alertmanager.Answer, error) {
	return alertmanager.Call{URL: url, Body: body, HTTP: env.HTTP, Authorize: env.Tokens.Sender.Authorize}.Do(ctx)
}

// post sends a body to the Gateway as Alertmanager does, and tracks the requests in
// the answer.
func post(ctx context.Context, body []byte) alertmanager.Answer {
	GinkgoHelper()
	answer, err := tryPost(ctx, env.GatewayURL, body)
	Expect(err).NotTo(HaveOccurred())
	for _, r := range answer.Each() {
		if r.RemediationRequestName != "" {
			env.Track(r.RemediationRequestName)
		}
	}
	return answer
}

func alertBody(status string, labels ...map[string]string) []byte {
	GinkgoHelper()
	body, err := alertmanager.Body(status, labels...)
	Expect(err).NotTo(HaveOccurred())
	return body
}

// fire sends a firing alert, which must be the first of its request.
func fire(ctx context.Context, labels map[string]string) *v1alpha1.RemediationRequest {
	GinkgoHelper()
	answer := post(ctx, alertBody(alertmanager.Firing, labels))
	Expect(answer.Code).To(Equal(http.StatusCreated), answer.Detail)
	return requestOf(answer.Result)
}

// requestOf names the request of an answer.
func requestOf(r alertmanager.Result) *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName},
	}
}

// classified waits until the request shows its classification, and returns its
// SignalProcessing.
func classified(ctx context.Context, rr *v1alpha1.RemediationRequest) *v1alpha1.SignalProcessing {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, rr, testenv.IsClassified)).To(Succeed())
	sp := &v1alpha1.SignalProcessing{}
	Expect(env.Get(ctx, client.ObjectKeyFromObject(rr), sp)).To(Succeed())
	return sp
}

// audited flushes every pod and queries once.
func audited(ctx context.Context, correlationID string) testenv.Trail {
	GinkgoHelper()
	trail, err := env.AuditTrail(ctx, correlationID)
	Expect(err).NotTo(HaveOccurred())
	return trail
}

// discard removes a request outside the process's namespace at the end of a spec that
// passed.
func discard(rr *v1alpha1.RemediationRequest) {
	if rr.Namespace == env.Namespace {
		return
	}
	DeferCleanup(func(ctx SpecContext) {
		if !CurrentSpecReport().Failed() {
			Expect(client.IgnoreNotFound(env.Delete(ctx, rr))).To(Succeed())
		}
	})
}

// forward forwards local ports to the API ports of a workload's pods until the end
// of the spec.
func forward(ctx context.Context, pods ...string) []string {
	GinkgoHelper()
	urls := make([]string, 0, len(pods))
	for _, name := range pods {
		url, stop, err := env.Forward(ctx, cluster.System, name)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(stop)
		urls = append(urls, url)
	}
	return urls
}
