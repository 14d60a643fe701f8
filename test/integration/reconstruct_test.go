//go:build integration

package integration_test

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// reconstructed asks DataStorage to rebuild a request.
func reconstructed(ctx context.Context, name string) (datastorage.Reconstruction, v1alpha1.RemediationRequest) {
	GinkgoHelper()
	found := decoded[datastorage.Reconstruction](storeCall(ctx, env.DataStorage.URL, http.MethodPost,
		"/api/v1/audit/remediation-requests/"+name+"/reconstruct", nil, nil), http.StatusOK)
	var rr v1alpha1.RemediationRequest
	Expect(yaml.UnmarshalStrict([]byte(found.RemediationRequest), &rr)).To(Succeed())
	return found, rr
}

// essence is what a trail tells exactly of a status.
func essence(s *v1alpha1.RemediationRequestStatus) map[string]any {
	reasons := map[string]string{}
	for _, c := range s.Conditions {
		reasons[c.Type] = string(c.Status) + " " + c.Reason
	}
	return map[string]any{
		"phase": s.Phase, "severity": s.Severity, "environment": s.Environment, "priority": s.Priority, "execution": s.ExecutionRef,
		"processing": s.SignalProcessingRef, "conditions": reasons, "command": s.LastCommand, "remediated": s.RemediatedAt, "selected": s.SelectedSeverity,
	}
}

var _ = Describe("a request that is rebuilt from its trail", func() {
	It("equals the request after a remediation, and outlives it", func(ctx SpecContext) {
		r := proposed(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "approve", r.rr.Name, "-n", r.Namespace, "--reason", "seen before", "--yes")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		r.send(ctx, alertmanager.Resolved, r.began)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
		events := r.trail(ctx)
		Expect(env.Delete(ctx, r.rr.DeepCopy())).To(Succeed())
		found, rr := reconstructed(ctx, r.rr.Name)
		Expect(found.Missing).To(BeEmpty())
		Expect(found.Completeness).To(BeEquivalentTo(1))
		Expect(found.Events).To(BeNumerically(">=", len(events)))
		Expect(client.ObjectKeyFromObject(&rr)).To(Equal(client.ObjectKeyFromObject(r.rr)))
		Expect(rr.UID).To(Equal(r.rr.UID))
		Expect(rr.Spec).To(BeComparableTo(r.rr.Spec))
		Expect(essence(&rr.Status)).To(BeComparableTo(essence(&r.rr.Status)))
		Expect(rr.Status.Message).To(Equal(r.rr.Status.Message))

		code, out = ada.run(ctx, "", "reconstruct", r.rr.Name, "--datastorage-url", env.DataStorage.URL)
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(out).To(SatisfyAll(ContainSubstring("phase: Completed"), ContainSubstring("100 % complete")))
	}, SpecTimeout(specTimeout))

	It("says what a trail does not tell", func(ctx SpecContext) {
		id := env.CorrelationID()
		storedBatch(ctx, env.DataStorage.URL, []fields{anEvent(id, fields{
			"event_type": "remediation.manual_review.required", "event_category": "remediation",
			"event_data": fields{"from": "Executing", "reason": "ExecutionFailed", "message": "it failed", "execution": id + "-1"},
		})})
		found, rr := reconstructed(ctx, id)
		Expect(rr.Status.Phase).To(Equal(v1alpha1.RemediationManualReview))
		Expect(found.Completeness).To(BeNumerically("<", 0.5))
		Expect(found.Missing).To(ContainElements(
			HaveField("Field", HaveValue(Equal("spec"))), HaveField("Field", HaveValue(Equal("status.severity"))),
			HaveField("Reason", ContainSubstring("in phase Executing")),
		))
	}, SpecTimeout(specTimeout))

	It("is refused for a name that no event has", func(ctx SpecContext) {
		decoded[datastorage.Problem](storeCall(ctx, env.DataStorage.URL, http.MethodPost,
			"/api/v1/audit/remediation-requests/"+env.CorrelationID()+"/reconstruct", nil, nil), http.StatusNotFound)
	}, SpecTimeout(specTimeout))

	It("is refused for a trail that is not about a request", func(ctx SpecContext) {
		id := env.CorrelationID()
		storedBatch(ctx, env.DataStorage.URL, []fields{anEvent(id, nil)})
		problem := decoded[datastorage.Problem](storeCall(ctx, env.DataStorage.URL, http.MethodPost,
			"/api/v1/audit/remediation-requests/"+id+"/reconstruct", nil, nil), http.StatusNotFound)
		Expect(problem.Detail).To(ContainSubstring("about a RemediationRequest"))
		code, out := newCommandUser(ctx).run(ctx, "", "reconstruct", id, "--datastorage-url", env.DataStorage.URL)
		Expect(code).To(Equal(cli.ExitFailed), out)
		Expect(out).To(SatisfyAll(ContainSubstring("about a RemediationRequest"), Not(ContainSubstring("apiVersion"))))
	}, SpecTimeout(specTimeout))
})
