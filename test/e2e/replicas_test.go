//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// replicaInstances is the number of random signals that are sent to both replicas concurrently.
const replicaInstances = 6

// storm sends a body to each of the addresses concurrently.
func storm(ctx context.Context, body []byte, urls ...string) []alertmanager.Answer {
	GinkgoHelper()
	answers, errs := make([]alertmanager.Answer, len(urls)), make([]error, len(urls))
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i, url := range urls {
		all.Go(func() {
			<-begin
			answers[i], errs[i] = tryPost(ctx, url, body)
		})
	}
	close(begin)
	all.Wait()
	Expect(errs).To(HaveEach(BeNil()))
	return answers
}

// expectOne expects all answers to name the same request, created by exactly one of
// them, and returns it.
func expectOne(ctx context.Context, answers []alertmanager.Answer) *v1alpha1.RemediationRequest {
	GinkgoHelper()
	created := 0
	for i := range answers {
		a := &answers[i]
		Expect(a.Code).To(Or(Equal(http.StatusCreated), Equal(http.StatusOK)), a.Detail)
		Expect(a.RemediationRequestName).To(Equal(answers[0].RemediationRequestName))
		if a.Code == http.StatusCreated {
			created++
		}
	}
	env.Track(answers[0].RemediationRequestName)
	Expect(created).To(Equal(1), "one signal is the first")
	var requests v1alpha1.RemediationRequestList
	Expect(env.List(ctx, &requests, client.MatchingFields{"spec.signalFingerprint": answers[0].Fingerprint})).To(Succeed())
	Expect(requests.Items).To(HaveLen(1))
	return &requests.Items[0]
}

// expectTrailOf expects the whole trail of a request whose signals all came with
// the same body, within five minutes: each of its events is there once, whichever
// replica recorded it. Only duplicates beyond the first ten of a replica are
// counted together.
func expectTrailOf(trail testenv.Trail) {
	GinkgoHelper()
	Expect(trail.Of(signalReceived)).To(HaveLen(1))
	Expect(trail.Of(requestCreated)).To(HaveLen(1), "whoever recorded it")
	Expect(trail).To(testenv.HaveSteps(testenv.Steps))
	reviews := len(trail.Of(manualReview))
	Expect(reviews).To(BeNumerically("<=", 1), "no workflow applies")
	Expect(trail).To(HaveLen(2 + len(trail.Of(signalDeduplicated)) + len(testenv.Steps) + workEvents() + reviews))
}

// workEvents is the number of events of all steps' work.
func workEvents() (n int) {
	for _, s := range testenv.Steps {
		n += len(s.Work)
	}
	return n
}

var _ = Describe("the Gateway's replicas", func() {
	for instance := range replicaInstances {
		It(fmt.Sprintf("make one request for a signal that reaches all of them concurrently (%d)", instance), func(ctx SpecContext) {
			urls := forward(ctx, "gateway-0", "gateway-1")
			urls = slices.Repeat(urls, 1+instance%3)
			rr := expectOne(ctx, storm(ctx, alertBody(alertmanager.Firing, podAlert()), urls...))
			classified(ctx, rr)
			expectTrailOf(audited(ctx, rr.Name))
		}, SpecTimeout(specTimeout))
	}

	It("make one request for signals that reach them through their Service", func(ctx SpecContext) {
		const signals = 20
		rr := expectOne(ctx, storm(ctx, alertBody(alertmanager.Firing, podAlert()), slices.Repeat([]string{env.GatewayURL}, signals)...))
		classified(ctx, rr)
		expectTrailOf(audited(ctx, rr.Name))
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Deduplication != nil && rr.Status.Deduplication.OccurrenceCount == signals
		})).To(Succeed(), "the counts of the replicas add up")
	}, SpecTimeout(specTimeout))

	It("record a resolved signal on the request that either of them made", func(ctx SpecContext) {
		urls := forward(ctx, "gateway-0", "gateway-1")
		for i := range urls {
			alert := podAlert()
			first, err := tryPost(ctx, urls[i], alertBody(alertmanager.Firing, alert))
			Expect(err).NotTo(HaveOccurred())
			rr := requestOf(first.Result)
			env.Track(rr.Name)
			classified(ctx, rr)
			ended, err := tryPost(ctx, urls[1-i], alertBody(alertmanager.Resolved, alert))
			Expect(err).NotTo(HaveOccurred())
			Expect(ended.Status).To(Equal("resolved"))
			Expect(ended.RemediationRequestName).To(Equal(rr.Name))
			Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool { return rr.Status.Phase.Terminal() })).To(Succeed())
			trail := audited(ctx, rr.Name)
			Expect(trail).To(testenv.HaveSteps(testenv.Steps))
			for _, eventType := range []string{signalReceived, requestCreated, signalResolved} {
				Expect(trail.Of(eventType)).To(HaveLen(1), eventType)
			}
			// Completed if it waited for a person already, else skipped.
			Expect(append(trail.Of("remediation.request.completed"), trail.Of("remediation.request.skipped")...)).To(HaveLen(1))
		}
	}, SpecTimeout(specTimeout))

	It("make no request for a resolved signal that was never firing", func(ctx SpecContext) {
		answer := post(ctx, alertBody(alertmanager.Resolved, podAlert()))
		Expect(answer.Code).To(Equal(http.StatusOK))
		Expect(answer.Status).To(Equal("ignored"))
		var requests v1alpha1.RemediationRequestList
		Expect(env.List(ctx, &requests, client.MatchingFields{"spec.signalFingerprint": answer.Fingerprint})).To(Succeed())
		Expect(requests.Items).To(BeEmpty())
		Expect(audited(ctx, answer.CorrelationID)).To(trailtest.HaveAudited(signalResolved, trailtest.WithData("ignored", true)))
	}, SpecTimeout(specTimeout))
})
