//go:build e2e

package e2e_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

// remediationLease is the name of WorkflowExecution's lease.
const remediationLease = "workflowexecution.kubernaut.ai"

// killExecutor kills the replica of WorkflowExecution that works.
func killExecutor(ctx context.Context, moment string) {
	GinkgoHelper()
	By("killing WorkflowExecution " + moment)
	kill(ctx, cluster.WorkflowExecution, leader(ctx, remediationLease))
}

// reached waits until an execution is in one of the phases, and stores its state in wfe.
func reached(ctx context.Context, wfe *v1alpha1.WorkflowExecution, phases ...v1alpha1.ExecutionPhase) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, wfe, func(e *v1alpha1.WorkflowExecution) bool {
		for _, phase := range phases {
			if e.Status.Phase == phase {
				return true
			}
		}
		return false
	})).To(Succeed())
}

// Each successor waits until the lease of the killed leader has expired.
var _ = Describe("WorkflowExecution, killed", Serial, Label("chaos"), func() {
	It("after the proposal, the approval, the start and the execution, repeats no change and records each step once", func(ctx SpecContext) {
		DeferCleanup(func(ctx SpecContext) {
			Expect(env.AwaitRollout(ctx, cluster.Workloads...)).To(Succeed())
		}, NodeTimeout(specTimeout))
		person := allowRemediation(ctx)
		signal := testenv.Unique("DeploymentWithoutPods-*")
		variant(ctx, "rollback", signal)
		sender := startAlertmanager(ctx)
		deployment := runningDeployment(ctx)
		works := deployment.Spec.Template.Spec.Containers[0].Image
		breakImage(ctx, deployment)
		broken := deployment.Generation
		labels, began := alertAbout(deployment, signal), time.Now().UTC()
		sender.send(ctx, labels, began, time.Time{})
		rr := requestAbout(ctx, signal)
		wfe := proposed(ctx, rr)

		killExecutor(ctx, "after the proposal")
		// Its successor acts on the next step, so that the lease names it by then.
		approve(ctx, person, wfe)
		reached(ctx, wfe, v1alpha1.ExecutionApproved, v1alpha1.ExecutionExecuting, v1alpha1.ExecutionVerifying)
		killExecutor(ctx, "once it is "+string(wfe.Status.Phase))
		reached(ctx, wfe, v1alpha1.ExecutionExecuting, v1alpha1.ExecutionVerifying)
		killExecutor(ctx, "once it is "+string(wfe.Status.Phase))
		awaitAvailable(ctx, deployment, 1)
		reached(ctx, wfe, v1alpha1.ExecutionVerifying)
		killExecutor(ctx, "once it is "+string(wfe.Status.Phase))
		sender.send(ctx, labels, began, time.Now().UTC())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
		Expect(env.Get(ctx, client.ObjectKeyFromObject(wfe), wfe)).To(Succeed())
		Expect(wfe.Status.Outcome).To(Equal(v1alpha1.OutcomeEffective))

		By("reading what became of the Deployment, and the trail")
		Expect(env.Get(ctx, client.ObjectKeyFromObject(deployment), deployment)).To(Succeed())
		Expect(deployment.Spec.Template.Spec.Containers[0].Image).To(Equal(works))
		Expect(deployment.Generation).To(Equal(broken+1), "one write")
		Expect(deployment.Annotations).To(HaveKeyWithValue("deployment.kubernetes.io/revision", "3"), "created, broken, rolled back")
		var history appsv1.ReplicaSetList
		Expect(env.List(ctx, &history, client.InNamespace(env.Namespace), client.MatchingLabels(deployment.Spec.Selector.MatchLabels))).To(Succeed())
		Expect(history.Items).To(HaveLen(2), "a template that works, and one that does not")
		trail := audited(ctx, rr.Name)
		for _, once := range stepsOfRemediation {
			Expect(trail.Of(once)).To(HaveLen(1), once)
		}
		started, completed := trail.Of("workflowexecution.execution.started")[0], trail.Of("workflowexecution.execution.completed")[0]
		Expect(started.EventData).To(HaveKeyWithValue("generation_before", BeNumerically("==", broken)))
		Expect(completed.EventData).To(HaveKeyWithValue("generation_after", BeNumerically("==", broken+1)))
	}, SpecTimeout(chaosTimeout))
})
