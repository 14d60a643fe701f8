//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

const (
	// approverRole is what a person who may approve is bound to, in a namespace.
	approverRole = "kubernaut-approver"
	// remediationTimeout bounds a spec that waits for alerts, an approval and a stabilization.
	remediationTimeout = 4 * time.Minute
	// stabilization of the suite's workflows.
	stabilization = 10 * time.Second
)

// stepsOfRemediation are the events of a remediation that a person approves and that helps, each of which is recorded once.
var stepsOfRemediation = []string{
	"remediation.workflow.selected", "remediation.approval.requested", "remediation.approval.approved", "workflowexecution.execution.started",
	"workflowexecution.execution.completed", "remediation.verification.started", "remediation.verification.passed", "remediation.request.completed",
}

// allowRemediation opts a namespace in, and lets a person approve in it.
func allowRemediation(ctx context.Context, name string) personWithKubectl {
	GinkgoHelper()
	namespace := &corev1.Namespace{}
	Expect(env.Get(ctx, client.ObjectKey{Name: name}, namespace)).To(Succeed())
	before := namespace.DeepCopy()
	metav1.SetMetaDataLabel(&namespace.ObjectMeta, v1alpha1.LabelRemediation, v1alpha1.RemediationEnabled)
	Expect(env.Patch(ctx, namespace, client.MergeFrom(before))).To(Succeed())
	person := someone(ctx, "")
	Expect(env.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: person.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: approverRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: person.Name}},
	})).To(Succeed())
	return person
}

// variant is a copy of a shipped workflow for one signal, which a spec need not wait for long. It is removed at the end of
// the spec.
func variant(ctx context.Context, shipped, signal string) *v1alpha1.RemediationWorkflow {
	GinkgoHelper()
	original := &v1alpha1.RemediationWorkflow{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: cluster.Workflows, Name: shipped}, original)).To(Succeed())
	workflow := &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Workflows, Name: testenv.Unique(shipped + "-*")},
		Spec:       *original.Spec.DeepCopy(),
	}
	workflow.Spec.AppliesTo.Signals = []string{signal}
	workflow.Spec.Stabilization = metav1.Duration{Duration: stabilization}
	for i := range workflow.Spec.Parameters {
		if p := &workflow.Spec.Parameters[i]; p.Name == "min_age" {
			p.Default, p.Rule = new("1s"), ""
		}
	}
	Expect(env.Create(ctx, workflow)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, workflow)).To(Succeed()) })
	Expect(testenv.WaitFor(ctx, env, workflow, func(w *v1alpha1.RemediationWorkflow) bool {
		for _, c := range w.Status.Conditions {
			if c.Type == v1alpha1.ConditionValid && c.ObservedGeneration == w.Generation {
				return c.Status == metav1.ConditionTrue
			}
		}
		return false
	})).To(Succeed())
	return workflow
}

// story is a remediation, from an alert of a real Alertmanager to its end.
type story struct {
	person personWithKubectl
	sender *realAlertmanager
	labels map[string]string
	began  time.Time
	rr     *v1alpha1.RemediationRequest
	wfe    *v1alpha1.WorkflowExecution
}

// propose fires the alert, and waits for the open proposal.
func (s *story) propose(ctx context.Context) {
	GinkgoHelper()
	s.began = time.Now().UTC()
	s.sender.send(ctx, s.labels, s.began, time.Time{})
	s.rr = requestAbout(ctx, s.labels["namespace"], s.labels["alertname"])
	Expect(testenv.WaitFor(ctx, env, s.rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
	s.wfe = &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: s.rr.Namespace, Name: s.rr.Status.ExecutionRef}}
	Expect(env.Get(ctx, client.ObjectKeyFromObject(s.wfe), s.wfe)).To(Succeed())
}

// approve creates an approval with the person's credentials, by kubectl.
func (s *story) approve(ctx context.Context) {
	GinkgoHelper()
	set, err := kubernetes.NewForConfig(s.person.Config)
	Expect(err).NotTo(HaveOccurred())
	self, err := set.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	decision, err := json.Marshal(&v1alpha1.RemediationApproval{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "RemediationApproval"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.wfe.Namespace, Name: string(s.wfe.UID)},
		Spec: v1alpha1.RemediationApprovalSpec{
			Execution: s.wfe.Name, ExecutionUID: s.wfe.UID, PlanDigest: s.wfe.Spec.PlanDigest,
			Verdict: v1alpha1.VerdictApprove, Reason: "it helped before",
			DecidedBy: v1alpha1.Decider{
				Name: self.Status.UserInfo.Username, UID: self.Status.UserInfo.UID, Groups: self.Status.UserInfo.Groups,
			},
		},
	})
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(GinkgoT().TempDir(), "approval.json")
	Expect(os.WriteFile(file, decision, 0o600)).To(Succeed())
	s.person.must(ctx, "create", "--validate=false", "-f", file)
}

// reached waits until the execution is in one of the phases, and stores its state in wfe.
func (s *story) reached(ctx context.Context, phases ...v1alpha1.ExecutionPhase) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, s.wfe, func(e *v1alpha1.WorkflowExecution) bool { return slices.Contains(phases, e.Status.Phase) })).To(Succeed())
}

func (s *story) resolve(ctx context.Context) {
	GinkgoHelper()
	s.sender.send(ctx, s.labels, s.began, time.Now().UTC())
}

// completed waits for the end of the request, which must be that the remediation helped, and returns the trail, which has
// each step once.
func (s *story) completed(ctx context.Context) testenv.Trail {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, s.rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
	Expect(env.Get(ctx, client.ObjectKeyFromObject(s.wfe), s.wfe)).To(Succeed())
	Expect(s.wfe.Status.Outcome).To(Equal(v1alpha1.OutcomeEffective), s.wfe.Status.Message)
	trail := audited(ctx, s.rr.Name)
	for _, once := range stepsOfRemediation {
		Expect(trail.Of(once)).To(HaveLen(1), once)
	}
	Expect(trail).To(trailtest.HaveAudited("remediation.approval.approved", trailtest.WithActorID(s.person.Name)))
	return trail
}

// nodeImage is an image of the node with a part in its name.
func nodeImage(ctx context.Context, part string) string {
	GinkgoHelper()
	nodes := &corev1.NodeList{}
	Expect(env.List(ctx, nodes)).To(Succeed())
	for _, i := range nodes.Items[0].Status.Images {
		for _, name := range i.Names {
			if strings.Contains(name, part) {
				return name
			}
		}
	}
	Fail("the node has no image with " + part)
	return ""
}

// finishedJob makes a Job in a namespace, and waits until it has finished: with the arguments of a service's program,
// which fails if it does not know them.
func finishedJob(ctx context.Context, namespace string, arguments ...string) *batchv1.Job {
	GinkgoHelper()
	pods, err := env.Pods(ctx, cluster.WorkflowExecution)
	Expect(err).NotTo(HaveOccurred())
	Expect(pods).NotTo(BeEmpty())
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: testenv.Unique("finished-*")},
		Spec: batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(bool),
			Containers: []corev1.Container{{Name: "work", Image: pods[0].Spec.Containers[0].Image, ImagePullPolicy: corev1.PullNever, Args: arguments}},
		}}},
	}
	Expect(env.Create(ctx, job)).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, job, func(j *batchv1.Job) bool {
		return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
			return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
		})
	})).To(Succeed())
	return job
}
