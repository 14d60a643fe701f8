//go:build e2e

package e2e_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/testenv/cluster"
)

// remediationLease is the name of WorkflowExecution's lease.
const remediationLease = "workflowexecution.kubernaut.ai"

// executor is the replica of WorkflowExecution that works, one after the other.
type executor struct {
	killed string // the last one's identity in the lease
}

// kill kills the replica that works, once there is one: a successor waits until the lease has expired.
func (e *executor) kill(ctx context.Context, moment string) {
	GinkgoHelper()
	By("killing WorkflowExecution " + moment)
	pod, identity := leader(ctx, remediationLease, e.killed)
	kill(ctx, cluster.WorkflowExecution, pod)
	e.killed = identity
}

var _ = Describe("WorkflowExecution, killed", Serial, Label("chaos"), func() {
	It("after proposals, approvals, the start of a Job and executions, repeats no change and records each step once", func(ctx SpecContext) {
		DeferCleanup(func(ctx SpecContext) {
			Expect(env.AwaitRollout(ctx, cluster.Workloads...)).To(Succeed())
		}, NodeTimeout(specTimeout))
		person, sender := allowRemediation(ctx, env.Namespace), startAlertmanager(ctx)
		r, c := startRollback(ctx, person, sender, env.Namespace), startCleanup(ctx, person, sender, env.Namespace)

		e := &executor{}
		e.kill(ctx, "after the proposals")
		r.approve(ctx)
		c.approve(ctx)
		r.reached(ctx, v1alpha1.ExecutionApproved, v1alpha1.ExecutionExecuting, v1alpha1.ExecutionVerifying)
		e.kill(ctx, "once the rollback is "+string(r.wfe.Status.Phase))
		c.created(ctx)
		e.kill(ctx, "once the Job exists")
		r.reached(ctx, v1alpha1.ExecutionVerifying)
		c.reached(ctx, v1alpha1.ExecutionVerifying)
		e.kill(ctx, "during the verifications")
		awaitAvailable(ctx, r.deployment, 1)
		r.resolve(ctx)
		c.resolve(ctx)
		r.expectOneChange(ctx, r.completed(ctx))
		c.expectOneJob(ctx, c.completed(ctx))
	}, SpecTimeout(chaosTimeout))
})
