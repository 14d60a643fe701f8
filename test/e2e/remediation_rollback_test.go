//go:build e2e

package e2e_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
)

// rollback is the remediation of a Deployment whose new image does not exist.
type rollback struct {
	*story

	workflow   *v1alpha1.RemediationWorkflow
	deployment *appsv1.Deployment
	// works is the image that works, broken the generation of the Deployment with the one that does not.
	works  string
	broken int64
}

// startRollback breaks a Deployment and waits for the proposal to roll it back.
func startRollback(ctx context.Context, person personWithKubectl, sender *realAlertmanager, namespace string) *rollback {
	GinkgoHelper()
	signal := testenv.Unique("DeploymentWithoutPods-*")
	r := &rollback{workflow: variant(ctx, "rollback", signal), deployment: runningDeployment(ctx, namespace)}
	r.works = r.deployment.Spec.Template.Spec.Containers[0].Image
	before := r.deployment.DeepCopy()
	r.deployment.Spec.Template.Spec.Containers[0].Image = "localhost/does-not-exist"
	Expect(env.Patch(ctx, r.deployment, client.MergeFrom(before))).To(Succeed())
	awaitAvailable(ctx, r.deployment, 0)
	r.broken = r.deployment.Generation
	r.story = &story{person: person, sender: sender, labels: map[string]string{
		"alertname": signal, "namespace": namespace, "deployment": r.deployment.Name, "severity": "critical",
	}}
	r.propose(ctx)
	return r
}

// expectOneChange expects that the Deployment was rolled back, by one write, and that the trail says so.
func (r *rollback) expectOneChange(ctx context.Context, trail testenv.Trail) {
	GinkgoHelper()
	Expect(env.Get(ctx, client.ObjectKeyFromObject(r.deployment), r.deployment)).To(Succeed())
	Expect(r.deployment.Spec.Template.Spec.Containers[0].Image).To(Equal(r.works))
	Expect(r.deployment.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationExecution, string(r.wfe.UID)))
	Expect(r.deployment.Generation).To(Equal(r.broken+1), "one write")
	Expect(r.deployment.Annotations).To(HaveKeyWithValue("deployment.kubernetes.io/revision", "3"), "made, broken, rolled back")
	var history appsv1.ReplicaSetList
	Expect(env.List(ctx, &history, client.InNamespace(r.deployment.Namespace), client.MatchingLabels(r.deployment.Spec.Selector.MatchLabels))).To(Succeed())
	Expect(history.Items).To(HaveLen(2), "of the template that works, and of the one that does not")
	Expect(trail).To(trailtest.HaveAudited("workflowexecution.execution.started", trailtest.WithData("generation_before", BeNumerically("==", r.broken))))
	Expect(trail).To(trailtest.HaveAudited("workflowexecution.execution.completed", trailtest.WithData("generation_after", BeNumerically("==", r.broken+1))))
}

// runningDeployment makes a Deployment of one pod that runs, with the node's pause image.
func runningDeployment(ctx context.Context, namespace string) *appsv1.Deployment {
	GinkgoHelper()
	name := testenv.Unique("web-*")
	labels := map[string]string{"app": name}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken:  new(bool),
					TerminationGracePeriodSeconds: new(int64(1)),
					Containers:                    []corev1.Container{{Name: "web", Image: nodeImage(ctx, "/pause:"), ImagePullPolicy: corev1.PullNever}},
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
