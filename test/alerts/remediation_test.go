package alerts_test

import (
	"net"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/controlplane"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
)

const executionLease = "workflowexecution.kubernaut.ai"

var _ = Describe("WorkflowExecution:", func() {
	causes("KubernautRemediationHasNoLeader", func(ctx SpecContext) {
		s := site(ctx)
		s.remediating(ctx)
		s.clusterState(ctx)
		m := watch(ctx, s, "KubernautRemediationHasNoLeader")
		a := m.fires(ctx, "KubernautRemediationHasNoLeader")
		Expect(a.Labels.Get("namespace")).To(Equal(s.namespace), "no pod exists")

		By("starting a replica while another one that is gone holds the Lease")
		held := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: executionLease},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: new("gone"), LeaseDurationSeconds: new(int32(3600)), RenewTime: new(metav1.NowMicro()), AcquireTime: new(metav1.NowMicro()),
			},
		}
		Expect(env.Create(ctx, held)).To(Succeed())
		w := s.program(ctx, executionName, "--watch-namespace", s.shop, "--platform-namespace", s.namespace,
			"--workflows-namespace", s.workflows, "--leader-election-namespace", s.namespace)
		m.pass(ctx, 10*time.Minute)
		Expect(m.active()).To(ContainElement(ContainSubstring("KubernautRemediationHasNoLeader is firing")))
		(&reader{site: s, about: w}).looks(ctx, a, SatisfyAll(MatchRegexp(executionLease+` +gone`), ContainSubstring(w.pod)))

		By("deleting the Lease")
		Expect(env.Delete(ctx, held)).To(Succeed())
		m.ends(ctx, "KubernautRemediationHasNoLeader")
	})

	causes("KubernautDecisionsDoNotCount", func(ctx SpecContext) {
		s := site(ctx)
		w := s.executing(ctx, func(o *workflowexecution.Options) { o.Clock = s.clock() })
		w.awaitShown(ctx, "workflowexecution_decisions_protected", "1")
		m := watch(ctx, s, "KubernautDecisionsDoNotCount")
		m.pass(ctx, time.Minute)
		Expect(env.Delete(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: s.workflows, Name: admission.ProbeAccount}})).To(Succeed())
		a := m.fires(ctx, "KubernautDecisionsDoNotCount")
		(&reader{site: s, about: w}).looks(ctx, a, SatisfyAll(
			ContainSubstring("decisions do not count"), ContainSubstring(admission.Approvals), ContainSubstring("role.rbac.authorization.k8s.io/"+admission.ProbeAccount)))
		Expect(controlplane.CreateProbe(ctx, env, s.workflows)).To(Succeed())
		m.ends(ctx, "KubernautDecisionsDoNotCount")
		Expect(string(w.log.text())).To(ContainSubstring("decisions count again"))
	})

	causes("KubernautExecutionsFail", func(ctx SpecContext) {
		s := site(ctx)
		w := s.remediates(ctx, asJob, auto)
		m := watch(ctx, s, "KubernautExecutionsFail")
		m.pass(ctx, time.Minute)
		wfe := s.breaks(ctx, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Reason == "JobCreated" })
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: s.workflows, Name: "wfe-" + string(wfe.UID)}}
		Expect(env.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		w.awaitSample(ctx, `workflowexecution_executions_total{result="Inconclusive",workflow="look"}`, 0)
		a := m.fires(ctx, "KubernautExecutionsFail")
		Expect(a.Annotations.Get("summary")).To(Equal("Executions of workflow look ended as Inconclusive in the last hour"))
		(&reader{site: s, about: w}).looks(ctx, a, SatisfyAll(ContainSubstring(wfe.Name), ContainSubstring("workflowexecution.execution.failed")))
		m.ends(ctx, "KubernautExecutionsFail")
	})

	causes("KubernautProposalsExpire", func(ctx SpecContext) {
		s := site(ctx)
		w := s.remediates(ctx, nil, func(o *workflowexecution.Options) { o.ApprovalExpiry = 2 * time.Second })
		m := watch(ctx, s, "KubernautProposalsExpire")
		m.pass(ctx, time.Minute)
		wfe := s.breaks(ctx, inPhase(v1alpha1.ExecutionExpired))
		w.awaitSample(ctx, `workflowexecution_executions_total{result="Expired",workflow="restart"}`, 0)
		a := m.fires(ctx, "KubernautProposalsExpire")
		(&reader{site: s, about: w}).looks(ctx, a, SatisfyAll(ContainSubstring(wfe.Spec.Request.Name), ContainSubstring("remediation.approval.expired")))
		m.ends(ctx, "KubernautProposalsExpire")
	})

	causes("KubernautRemindersFail", func(ctx SpecContext) {
		s := site(ctx)
		w := s.remediates(ctx, nil, func(o *workflowexecution.Options) {
			o.ApprovalExpiry, o.Alertmanager.URL = 4*time.Second, "http://"+net.JoinHostPort("127.0.0.1", freePort(ctx))
		})
		m := watch(ctx, s, "KubernautRemindersFail")
		m.pass(ctx, time.Minute)
		wfe := s.breaks(ctx, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.ReminderSentAt != nil })
		w.awaitSample(ctx, `workflowexecution_reminder_alerts_total{result="failed"}`, 0)
		a := m.fires(ctx, "KubernautRemindersFail")
		(&reader{site: s, about: w}).looks(ctx, a, SatisfyAll(
			ContainSubstring("Alertmanager is not told"), ContainSubstring("connection refused"), ContainSubstring(wfe.Name)))
		m.ends(ctx, "KubernautRemindersFail")
	})

	causes("KubernautWorkflowInvalid", func(ctx SpecContext) {
		s := site(ctx)
		w := s.executing(ctx, nil)
		s.allow(ctx, "worker")
		made(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.workflows, Name: "powerless"}})
		wf := s.restart("powerless")
		Expect(env.Create(ctx, wf)).To(Succeed())
		s.awaitValid(ctx, wf, metav1.ConditionFalse)
		m := watch(ctx, s, "KubernautWorkflowInvalid")
		a := m.fires(ctx, "KubernautWorkflowInvalid")
		Expect(a.Annotations.Get("summary")).To(Equal("The workflow restart is wrong, and is not selected"))
		(&reader{site: s, about: w}).looks(ctx, a, MatchRegexp(`restart: .*powerless.*patch`))
		wf.Spec.ServiceAccountName = "worker"
		Expect(env.Update(ctx, wf)).To(Succeed())
		m.ends(ctx, "KubernautWorkflowInvalid")
	})

	// The switch is the cluster's: no other spec may run.
	causes("KubernautRemediationPaused", func(ctx SpecContext) {
		s := site(ctx)
		w := s.executing(ctx, nil)
		r := reader{site: s, about: w}
		r.run(ctx, "kubernaut pause --reason maintenance")
		DeferCleanup(func(ctx SpecContext) {
			pause := &v1alpha1.PauseSwitch{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PauseSwitchName}}
			Expect(env.Get(ctx, client.ObjectKeyFromObject(pause), pause)).To(Succeed())
			pause.Spec.Paused = false
			Expect(env.Update(ctx, pause)).To(Succeed())
		})
		w.awaitSample(ctx, "workflowexecution_paused", 0)
		m := watch(ctx, s, "KubernautRemediationPaused")
		a := m.fires(ctx, "KubernautRemediationPaused")
		r.looks(ctx, a, ContainSubstring("reason: maintenance"))
		r.repairs(ctx, a, "kubernaut resume")
		m.ends(ctx, "KubernautRemediationPaused")
	}, Serial)

	causes("KubernautGuardRailsTrigger", func(ctx SpecContext) {
		s := site(ctx)
		w := s.remediates(ctx, nil, func(o *workflowexecution.Options) {
			auto(o)
			o.MaxPerNamespace = 1
		})
		m := watch(ctx, s, "KubernautGuardRailsTrigger")
		m.pass(ctx, time.Minute)
		s.breaks(ctx, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.StartedAt != nil })
		held := func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Reason == v1alpha1.ReasonGuardRail }
		const more = 4
		var last *v1alpha1.WorkflowExecution
		for range more {
			last = s.breaks(ctx, held)
		}
		w.awaitSample(ctx, `workflowexecution_guard_rails_triggered_total{rail="NamespaceMaximum"}`, more-1)
		a := m.fires(ctx, "KubernautGuardRailsTrigger")
		Expect(a.Annotations.Get("summary")).To(Equal("The guard rail NamespaceMaximum stopped more than 3 executions in an hour"))
		(&reader{site: s, about: w}).looks(ctx, a, SatisfyAll(ContainSubstring(last.Name), ContainSubstring("remediation.guardrail.triggered")))
		m.ends(ctx, "KubernautGuardRailsTrigger")
	})
})
