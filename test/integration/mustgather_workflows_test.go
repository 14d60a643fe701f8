//go:build integration

package integration_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/mustgather"
	"kubernaut.ai/test/testenv"
)

// jobPod makes a Job of a workflow, with its pod and the pod's log.
func jobPod(ctx context.Context, namespace, variable, log string) *batchv1.Job {
	GinkgoHelper()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "wfe-" + env.CorrelationID()},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false),
			Containers: []corev1.Container{{Name: "work", Image: "localhost/work", Env: []corev1.EnvVar{{Name: "OTHER_SYSTEM", Value: variable}}}},
		}}},
	}
	Expect(env.Create(ctx, job)).To(Succeed())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: job.Name + "-x", Labels: map[string]string{batchv1.JobNameLabel: job.Name}},
		Spec:       job.Spec.Template.Spec,
	}
	var err error
	pod.Spec.NodeName, err = env.ShowLog(ctx, namespace, pod.Name, func() []byte { return []byte(log) })
	Expect(err).NotTo(HaveOccurred())
	Expect(env.Create(ctx, pod)).To(Succeed())
	return job
}

var _ = Describe("must-gather about remediations", func() {
	It("collects workflows, their accounts and Jobs, and what was decided, without secrets", func(ctx SpecContext) {
		r := proposed(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "approve", r.rr.Name, "-n", r.Namespace, "--reason", "seen before", "--yes")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		variable, password, line := aName(), aName(), aName()
		job := jobPod(ctx, r.WorkflowsNamespace, variable, time.Now().UTC().Format(time.RFC3339Nano)+" "+line+` {"password":"`+password+`"}`+"\n")

		g := gatherWith(ctx, func(o *mustgather.Options) {
			o.Namespaces, o.CorrelationIDs = []string{r.Namespace, r.WorkflowsNamespace}, []string{r.rr.Name}
		})
		workflows, ours := "namespaces/"+r.WorkflowsNamespace+"/", "namespaces/"+r.Namespace+"/kubernaut.ai/"
		Expect(g.file(workflows + "kubernaut.ai/remediationworkflows/restart.yaml")).To(ContainSubstring("serviceAccountName: restart"))
		Expect(g.file(workflows + "core/serviceaccounts.yaml")).To(ContainSubstring("name: restart"))
		Expect(g.file(workflows + "batch/jobs.yaml")).To(ContainSubstring("name: " + job.Name))
		Expect(g.file(workflows + "pods/" + job.Name + "-x/work/work/logs/current.log")).To(ContainSubstring(line))
		Expect(g.file(ours + "workflowexecutions/" + r.wfe.Name + ".yaml")).To(And(ContainSubstring("phase: Verifying"), ContainSubstring("before: ")))
		Expect(g.file(ours + "remediationapprovals/" + string(r.wfe.UID) + ".yaml")).To(ContainSubstring("verdict: Approve"))
		for _, secret := range []string{variable, password} {
			Expect(g.with(secret)).To(BeEmpty())
		}

		By("telling the execution in the timeline of its request")
		Expect(g.file("timelines/" + r.rr.Name + ".txt")).To(MatchRegexp(`Z +workflowexecution +started\n`))
		Expect(g.file("summary.txt")).To(ContainSubstring("workflowexecution Verifying"))

		By("showing what guards decisions")
		for _, policy := range []string{
			"remediationapprovals", "remediationapprovals-executions", "remediationcommands", "workflowexecutions", "pauseswitches",
		} {
			for _, kind := range []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"} {
				Expect(g.file("cluster-scoped-resources/admissionregistration.k8s.io/" + kind + "/" + policy + ".kubernaut.ai.yaml")).To(ContainSubstring("spec:"))
			}
		}
	}, SpecTimeout(specTimeout))

	It("finds the namespace of workflows by its workflows, and the pause switch", func(ctx SpecContext) {
		plane, err := controlplane.Start(ctx, controlplane.Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(plane.Stop(ctx)).To(Succeed()) })
		types := runtime.NewScheme()
		Expect(v1alpha1.AddToScheme(types)).To(Succeed())
		Expect(corev1.AddToScheme(types)).To(Succeed())
		Expect(authenticationv1.AddToScheme(types)).To(Succeed())
		c, err := client.New(plane.Config(), client.Options{Scheme: types})
		Expect(err).NotTo(HaveOccurred())
		self := &authenticationv1.SelfSubjectReview{}
		Expect(c.Create(ctx, self)).To(Succeed())
		by := v1alpha1.Decider{Name: self.Status.UserInfo.Username, UID: self.Status.UserInfo.UID, Groups: self.Status.UserInfo.Groups}
		namespace := "remedies-" + env.CorrelationID()
		workflow := restartFor(namespace, "KubePodCrashLooping", time.Minute)
		for _, object := range []client.Object{
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, workflow,
			&v1alpha1.PauseSwitch{
				ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PauseSwitchName},
				Spec:       v1alpha1.PauseSwitchSpec{Paused: true, Reason: "a migration", ChangedBy: by},
			},
		} {
			Expect(c.Create(ctx, object)).To(Succeed())
		}

		g := gatherFrom(ctx, func(o *mustgather.Options) { o.Kubeconfig = plane.Kubeconfig() })
		Expect(g.file("namespaces/" + namespace + "/kubernaut.ai/remediationworkflows/" + workflow.Name + ".yaml")).To(ContainSubstring("risk: low"))
		Expect(g.file("cluster-scoped-resources/kubernaut.ai/pauseswitches/cluster.yaml")).To(ContainSubstring("reason: a migration"))
		Expect(g.file("summary.txt")).NotTo(ContainSubstring("remediationworkflow"))
	}, SpecTimeout(specTimeout))
})
