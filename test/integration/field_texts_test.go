//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/trailtest"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

// eventsOfSignal flushes a pipeline and queries the events of a signal once.
func eventsOfSignal(ctx context.Context, p *testenv.Pipeline, signalName string) testenv.Trail {
	GinkgoHelper()
	receipts, err := audittrail.Flush(ctx, http.DefaultClient, p.ManagementURLs, "")
	Expect(err).NotTo(HaveOccurred())
	parameters := []string{"detail_key", "signal_name", "detail_value", signalName, "limit", "1000", "order", "asc"}
	for _, r := range receipts {
		if r.ConsistencyToken != "" {
			parameters = append(parameters, "at_least", r.ConsistencyToken)
		}
	}
	return findAll(ctx, p.DataStorage.URL, parameters...)
}

var _ = Describe("texts that become part of event ids", func() {
	It("field C22: a policy that fails is named in words of ours, whatever the engine says", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		within := func(deadline time.Duration) func(*signalprocessing.Options) {
			return func(o *signalprocessing.Options) { o.PolicyDeadline = deadline }
		}
		first := startProcessor(ctx, rr.Namespace, within(time.Nanosecond))
		sp := classified(ctx, rr)
		first.stop(ctx)
		trail := auditTrail(ctx, rr)
		Expect(trail.Of(classificationDecision)).To(ConsistOf(trailtest.WithData("policy_error",
			"severity_timeout: the policy took too long; environment_timeout: the policy took too long")))
		condition := meta.FindStatusCondition(sp.Status.Conditions, v1alpha1.ConditionClassificationComplete)
		Expect(condition.Reason).To(Equal("PolicyFailed"))
		Expect(condition.Message).To(ContainSubstring("took longer than 1ns"), "people read the engine's words in the status")

		By("repeating the steps whose status was lost, at a replica that describes the failure in other words")
		status := &sp.Status
		status.Phase, status.CompletedAt = v1alpha1.ProcessingClassifying, nil
		status.Severity, status.Environment, status.Priority, status.Business, status.Policy = nil, nil, nil, nil, nil
		Expect(env.Status().Update(ctx, sp)).To(Succeed())
		second := startProcessor(ctx, rr.Namespace, within(2*time.Nanosecond))
		Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool {
			return sp.Status.Phase == v1alpha1.ProcessingCompleted
		})).To(Succeed())
		second.stop(ctx)
		condition = meta.FindStatusCondition(sp.Status.Conditions, v1alpha1.ConditionClassificationComplete)
		Expect(condition.Message).To(ContainSubstring("took longer than 2ns"))
		Expect(auditTrail(ctx, rr)).To(HaveLen(len(trail)), "a repetition records nothing new")
	}, SpecTimeout(specTimeout))

	It("field C22: a webhook that denies in other words each time is recorded once", func(ctx SpecContext) {
		p := ownPipeline(ctx)
		w := newDenier(ctx, p.Namespace)
		alert := podAlert()
		body := alertBody("firing", alert)
		Eventually(ctx, func(ctx SpecContext) int { return post(ctx, p.GatewayURL, alertBody("firing", podAlert())).Code }).
			Should(Equal(http.StatusServiceUnavailable), "the webhook is in force")
		var trail testenv.Trail
		for i, words := range []string{"rules a and b failed at 10:00:01", "rules b and a failed at 10:00:02", "go away"} {
			w.words.Store(&words)
			Expect(post(ctx, p.GatewayURL, body).Code).To(Equal(http.StatusServiceUnavailable))
			events := eventsOfSignal(ctx, p, alert["alertname"])
			if i == 0 {
				trail = events
				Expect(trail.Of(requestFailed)).To(ConsistOf(And(
					HaveField("ErrorMessage", HaveValue(Equal("denied by webhook "+w.name))),
					trailtest.WithData("denied_by.name", w.name))))
			}
			Expect(events).To(Equal(trail), "a retry records nothing new")
		}
	}, SpecTimeout(specTimeout))
})
