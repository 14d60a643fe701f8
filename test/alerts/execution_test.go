package alerts_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/lifecycle"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/testenv"
)

// remediating makes the namespaces of workflows and of what is remediated, where policies may
// approve, and the workload of WorkflowExecution.
func (s *siteState) remediating(ctx context.Context) {
	GinkgoHelper()
	var err error
	s.workflows, err = env.NewNamespace(ctx, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	Expect(controlplane.CreateProbe(ctx, env, s.workflows)).To(Succeed())
	s.shop, err = env.NewNamespace(ctx, map[string]string{v1alpha1.LabelRemediation: v1alpha1.RemediationAuto, "kubernaut.ai/environment": "test"}, nil)
	Expect(err).NotTo(HaveOccurred())
	s.workload(ctx, executionName)
}

// executing starts a WorkflowExecution that records in the suite's DataStorage.
func (s *siteState) executing(ctx context.Context, change func(*workflowexecution.Options)) *service {
	GinkgoHelper()
	s.remediating(ctx)
	options := workflowexecution.Options{
		DataStorageURL: env.DataStorage.URL, ManagementListen: anyPort, ControlListen: anyPort,
		RESTConfig: env.Config, WatchNamespaces: []string{s.shop}, WorkflowsNamespace: s.workflows, PlatformNamespace: s.namespace,
	}
	if change != nil {
		change(&options)
	}
	return s.serve(ctx, executionName, func(log *zap.Logger) lifecycle.App {
		options.Log = log
		a, err := workflowexecution.New(options)
		Expect(err).NotTo(HaveOccurred())
		return a
	}, func(a lifecycle.App, one *service) {
		w := a.(*workflowexecution.App)
		one.management, one.control = w.ManagementURL(), w.ControlURL()
		options.ManagementListen, options.ControlListen = hostOf(one.management), hostOf(one.control)
	})
}

// remediates starts a SignalProcessing and a WorkflowExecution, with a valid workflow.
func (s *siteState) remediates(ctx context.Context, workflow func(*v1alpha1.RemediationWorkflow), change func(*workflowexecution.Options)) *service {
	GinkgoHelper()
	w := s.executing(ctx, change)
	s.processing(ctx, func(o *signalprocessing.Options) { o.WatchNamespaces, o.LeaveClassified = []string{s.shop}, true })
	s.allow(ctx, "worker")
	wf := s.restart("worker")
	if workflow != nil {
		workflow(wf)
	}
	Expect(env.Create(ctx, wf)).To(Succeed())
	s.awaitValid(ctx, wf, metav1.ConditionTrue)
	return w
}

// auto lets the policy approve.
func auto(o *workflowexecution.Options) { o.Mode = "auto" }

// restart is a workflow that restarts Deployments.
func (s *siteState) restart(account string) *v1alpha1.RemediationWorkflow {
	return &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.workflows, Name: "restart"},
		Spec: v1alpha1.RemediationWorkflowSpec{
			Description:        "Restarts the pods.",
			AppliesTo:          v1alpha1.AppliesTo{Signals: []string{"*"}, Kinds: []v1alpha1.WorkflowKind{{APIVersion: "apps/v1", Kind: "Deployment"}}},
			Action:             &v1alpha1.WorkflowAction{Restart: &v1alpha1.RestartAction{}},
			ServiceAccountName: account, Risk: v1alpha1.RiskLow, Timeout: metav1.Duration{Duration: patience},
			Verification: v1alpha1.WorkflowVerification{Condition: "true"},
		},
	}
}

// asJob makes a workflow start a Job, whose pod nobody starts.
func asJob(wf *v1alpha1.RemediationWorkflow) {
	wf.Name, wf.Spec.Action = "look", nil
	wf.Spec.Job = &v1alpha1.WorkflowJob{RepeatIsHarmless: "it only reads the object", Template: batchv1.JobTemplateSpec{
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy:   corev1.RestartPolicyNever,
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "look", Image: "look:1",
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")},
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		}}},
	}}
}

// allow makes a service account of workflows, which may restart Deployments.
func (s *siteState) allow(ctx context.Context, account string) {
	GinkgoHelper()
	name := testenv.Unique("alerts-*")
	made(ctx,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.workflows, Name: account}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{rule("apps", []string{"deployments"}, "get", "patch")}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.workflows, Name: account}},
		})
}

// awaitValid waits until the catalog has found a workflow to be valid, or not.
func (s *siteState) awaitValid(ctx context.Context, wf *v1alpha1.RemediationWorkflow, status metav1.ConditionStatus) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, wf, func(wf *v1alpha1.RemediationWorkflow) bool {
		c := meta.FindStatusCondition(wf.Status.Conditions, v1alpha1.ConditionValid)
		return c != nil && c.ObservedGeneration == wf.Generation && c.Status == status
	})).To(Succeed())
}

// breaks makes a Deployment and a request about it, and waits for its execution to be in a phase.
func (s *siteState) breaks(ctx context.Context, until func(*v1alpha1.WorkflowExecution) bool) *v1alpha1.WorkflowExecution {
	GinkgoHelper()
	name := testenv.Unique("web-*")
	labels := map[string]string{"app": name}
	Expect(env.Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.shop, Name: name},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
		}},
	})).To(Succeed())
	rr := env.Request(testenv.Unique("rr-*"))
	rr.Namespace = s.shop
	rr.Spec.TargetResource = v1alpha1.TargetResource{APIVersion: "apps/v1", Kind: "Deployment", Name: name, Namespace: s.shop}
	Expect(env.Create(ctx, rr)).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool { return rr.Status.ExecutionRef != "" })).To(Succeed())
	wfe := &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: s.shop, Name: rr.Status.ExecutionRef}}
	Expect(env.Get(ctx, client.ObjectKeyFromObject(wfe), wfe)).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, wfe, until)).To(Succeed())
	return wfe
}

// inPhase is a predicate of breaks.
func inPhase(phase v1alpha1.ExecutionPhase) func(*v1alpha1.WorkflowExecution) bool {
	return func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.Phase == phase }
}
