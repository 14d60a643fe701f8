//go:build integration

package integration_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/testenv"
)

// foundingInstances is the number of random instances in a run.
const foundingInstances = 24

// Regression test: a suite of 87 specs in 12 processes used to lose 2 of them to
// "audit event not found": they changed a resource, waited for its status and polled
// for the event. These specs query once, at a random point of processing.
var _ = Describe("founding scenario", Label("flush"), func() {
	for instance := range foundingInstances {
		It(fmt.Sprintf("finds every event of what it has observed with one query (%d)", instance), func(ctx SpecContext) {
			random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), uint64(instance)))
			seen := 1 + random.IntN(len(testenv.Steps)) // number of steps that the spec waits for
			rr := env.Request(env.CorrelationID())
			rr.Spec.Severity = []string{"critical", "warning", "info", "page", ""}[random.IntN(5)]
			By(fmt.Sprintf("creating a request of severity %q", rr.Spec.Severity))
			Expect(env.Create(ctx, rr)).To(Succeed())

			By(fmt.Sprintf("waiting until processing is %s or further", testenv.Steps[seen-1].To))
			sp := &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Name}}
			Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool {
				return len(testenv.StepsTo(sp.Status.Phase)) >= seen
			})).To(Succeed())

			By("flushing, and querying once")
			trail, err := env.AuditTrail(ctx, rr.Name)
			Expect(err).NotTo(HaveOccurred())
			Expect(trail).To(testenv.HaveSteps(testenv.StepsTo(sp.Status.Phase)), "which may be more than it waited for")
		}, SpecTimeout(specTimeout))
	}

	It("finds the whole trail, each event once and in order, when the request shows the outcome", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())

		trail, err := env.AuditTrail(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(trail).To(testenv.BeProcessed())
		Expect(slices.IsSortedFunc(trail, func(a, b datastorage.StoredEvent) int {
			return a.EventTimestamp.Compare(b.EventTimestamp)
		})).To(BeTrue(), "oldest first")
	}, SpecTimeout(specTimeout))
})
