//go:build integration

package integration_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
)

// docs/testing-with-testenv.md quotes this spec.
var _ = Describe("guide to testenv", func() {
	It("classifies a critical request", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.Severity = "critical"
		Expect(env.Create(ctx, rr)).To(Succeed())

		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())

		trail, err := env.AuditTrail(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(trail).To(testenv.HaveSteps(testenv.Steps))
		Expect(trail).To(trailtest.HaveAudited("signalprocessing.classification.decision",
			trailtest.WithData("severity.value", "critical")))
	}, SpecTimeout(specTimeout))
})
