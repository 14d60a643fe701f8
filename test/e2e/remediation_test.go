//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
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
)

// allowRemediation opts the process's namespace in, and lets a person approve in it.
func allowRemediation(ctx context.Context) personWithKubectl {
	GinkgoHelper()
	namespace := &corev1.Namespace{}
	Expect(env.Get(ctx, client.ObjectKey{Name: env.Namespace}, namespace)).To(Succeed())
	before := namespace.DeepCopy()
	metav1.SetMetaDataLabel(&namespace.ObjectMeta, v1alpha1.LabelRemediation, v1alpha1.RemediationEnabled)
	Expect(env.Patch(ctx, namespace, client.MergeFrom(before))).To(Succeed())
	person := someone(ctx, "")
	Expect(env.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: person.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: approverRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: person.Name}},
	})).To(Succeed())
	return person
}

// variant is a copy of a shipped workflow for one signal, which a spec need not wait for
// long. It is removed at the end of the spec.
func variant(ctx context.Context, shipped, signal string) *v1alpha1.RemediationWorkflow {
	GinkgoHelper()
	original := &v1alpha1.RemediationWorkflow{}
	Expect(env.Get(ctx, client.ObjectKey{Namespace: cluster.Workflows, Name: shipped}, original)).To(Succeed())
	workflow := &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Workflows, Name: testenv.Unique(shipped + "-*")},
		Spec:       *original.Spec.DeepCopy(),
	}
	workflow.Spec.AppliesTo.Signals = []string{signal}
	workflow.Spec.Stabilization = metav1.Duration{Duration: 10 * time.Second}
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

// proposed waits for the open proposal of a request.
func proposed(ctx context.Context, rr *v1alpha1.RemediationRequest) *v1alpha1.WorkflowExecution {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
	wfe := &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Status.ExecutionRef}}
	Expect(env.Get(ctx, client.ObjectKeyFromObject(wfe), wfe)).To(Succeed())
	return wfe
}

// approve creates an approval with a person's credentials, by kubectl.
func approve(ctx context.Context, person personWithKubectl, wfe *v1alpha1.WorkflowExecution) {
	GinkgoHelper()
	set, err := kubernetes.NewForConfig(person.Config)
	Expect(err).NotTo(HaveOccurred())
	self, err := set.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	decision, err := json.Marshal(&v1alpha1.RemediationApproval{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "RemediationApproval"},
		ObjectMeta: metav1.ObjectMeta{Namespace: wfe.Namespace, Name: string(wfe.UID)},
		Spec: v1alpha1.RemediationApprovalSpec{
			Execution: wfe.Name, ExecutionUID: wfe.UID, PlanDigest: wfe.Spec.PlanDigest,
			Verdict: v1alpha1.VerdictApprove, Reason: "the last image worked",
			DecidedBy: v1alpha1.Decider{
				Name: self.Status.UserInfo.Username, UID: self.Status.UserInfo.UID, Groups: self.Status.UserInfo.Groups,
			},
		},
	})
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(GinkgoT().TempDir(), "approval.json")
	Expect(os.WriteFile(file, decision, 0o600)).To(Succeed())
	person.must(ctx, "create", "--validate=false", "-f", file)
}

// runningDeployment makes a Deployment of one pod that runs, with the node's pause image.
func runningDeployment(ctx context.Context) *appsv1.Deployment {
	GinkgoHelper()
	nodes := &corev1.NodeList{}
	Expect(env.List(ctx, nodes)).To(Succeed())
	image := ""
	for _, i := range nodes.Items[0].Status.Images {
		for _, name := range i.Names {
			if strings.Contains(name, "/pause:") {
				image = name
			}
		}
	}
	Expect(image).NotTo(BeEmpty(), "the node has no pause image")
	name := testenv.Unique("web-*")
	labels := map[string]string{"app": name}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken:  new(bool),
					TerminationGracePeriodSeconds: new(int64(1)),
					Containers:                    []corev1.Container{{Name: "web", Image: image, ImagePullPolicy: corev1.PullNever}},
				},
			},
		},
	}
	Expect(env.Create(ctx, deployment)).To(Succeed())
	awaitAvailable(ctx, deployment, 1)
	return deployment
}

// awaitAvailable waits until a Deployment's latest template has this many available pods.
func awaitAvailable(ctx context.Context, deployment *appsv1.Deployment, pods int32) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, deployment, func(d *appsv1.Deployment) bool {
		return d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == 1 && d.Status.AvailableReplicas == pods
	})).To(Succeed())
}

// breakImage updates a Deployment to an image that does not exist.
func breakImage(ctx context.Context, deployment *appsv1.Deployment) {
	GinkgoHelper()
	before := deployment.DeepCopy()
	deployment.Spec.Template.Spec.Containers[0].Image = "localhost/does-not-exist"
	Expect(env.Patch(ctx, deployment, client.MergeFrom(before))).To(Succeed())
	awaitAvailable(ctx, deployment, 0)
}

// alertAbout are the labels of an alert about a Deployment.
func alertAbout(deployment *appsv1.Deployment, signal string) map[string]string {
	return map[string]string{
		"alertname": signal, "namespace": deployment.Namespace, "deployment": deployment.Name, "severity": "critical",
	}
}

// stepsOfRemediation are the events of a remediation that a person approves and that helps, each of which is recorded once.
var stepsOfRemediation = []string{
	"remediation.workflow.selected", "remediation.approval.requested", "remediation.approval.approved", "workflowexecution.execution.started",
	"workflowexecution.execution.completed", "remediation.verification.started", "remediation.verification.passed", "remediation.request.completed",
}

var _ = Describe("remediation", func() {
	It("rolls a Deployment back whose new image does not exist, once a person has approved by kubectl", func(ctx SpecContext) {
		person := allowRemediation(ctx)
		signal := testenv.Unique("DeploymentWithoutPods-*")
		workflow := variant(ctx, "rollback", signal)
		deployment := runningDeployment(ctx)
		works := deployment.Spec.Template.Spec.Containers[0].Image
		sender := startAlertmanager(ctx)

		By("updating the Deployment to an image that does not exist")
		breakImage(ctx, deployment)
		labels, began := alertAbout(deployment, signal), time.Now().UTC()
		sender.send(ctx, labels, began, time.Time{})
		rr := requestAbout(ctx, signal)
		wfe := proposed(ctx, rr)
		Expect(wfe.Spec.Workflow.Name).To(Equal(workflow.Name))
		Expect(wfe.Spec.Change).To(SatisfyAll(ContainSubstring("does-not-exist"), ContainSubstring(works)))

		By("approving with the person's credentials")
		approve(ctx, person, wfe)
		awaitAvailable(ctx, deployment, 1)
		Expect(deployment.Spec.Template.Spec.Containers[0].Image).To(Equal(works))
		Expect(deployment.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationExecution, string(wfe.UID)))

		By("resolving the alert")
		sender.send(ctx, labels, began, time.Now().UTC())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())
		trail := audited(ctx, rr.Name)
		Expect(trail).To(trailtest.HaveAudited("remediation.approval.approved", trailtest.WithActorID(person.Name)))
		for _, once := range stepsOfRemediation {
			Expect(trail.Of(once)).To(HaveLen(1), once)
		}
	}, SpecTimeout(remediationTimeout))
})
