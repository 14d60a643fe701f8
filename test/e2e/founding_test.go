//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"

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

// foundingInstances is the number of random instances in a run of the suite; one in
// workloadOneIn is about a pod that exists.
const (
	foundingInstances = 24
	workloadOneIn     = 4
)

// As in the integration suite, but with a signal, through Services, and with
// whichever pods received and processed it. The spec cannot know which pods hold
// parts of the trail, and queries once, at a random point.
var _ = Describe("founding scenario", Label("flush"), func() {
	for instance := range foundingInstances {
		It(fmt.Sprintf("finds every event of what it has observed with one query (%d)", instance), func(ctx SpecContext) {
			random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), uint64(instance)))
			alert := podAlert()
			if instance%workloadOneIn == 0 {
				alert["pod"] = deployedPod(ctx).Name
			}
			alert["severity"] = []string{"critical", "warning", "info", "page", ""}[random.IntN(5)]
			seen := random.IntN(1 + len(testenv.Steps)) // number of steps that the spec waits for
			rr := fire(ctx, alert)

			sp := &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Name}}
			if seen > 0 {
				By(fmt.Sprintf("waiting until processing is %s or further", testenv.Steps[seen-1].To))
				Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool {
					return len(testenv.StepsTo(sp.Status.Phase)) >= seen
				})).To(Succeed())
			}

			By("flushing every pod, and querying once")
			trail := audited(ctx, rr.Name)
			Expect(trail.Of(signalReceived)).To(HaveLen(1))
			Expect(trail.Of(requestCreated)).To(HaveLen(1))
			Expect(trail).To(testenv.HaveSteps(testenv.StepsTo(sp.Status.Phase)), "which may be more than it waited for")
		}, SpecTimeout(specTimeout))
	}
})

var _ = Describe("a signal about a pod that exists", func() {
	It("is enriched with what the cluster knows of it, and alerts about its siblings are deduplicated into its request", func(ctx SpecContext) {
		pod := deployedPod(ctx)
		alert := podAlert()
		alert["pod"], alert["alertname"] = pod.Name, "KubePodCrashLooping"
		rr := fire(ctx, alert)
		found := classified(ctx, rr).Status.Context
		Expect(found.Degraded).To(BeFalse(), found.DegradedReason)
		Expect(found.OwnerChain).To(HaveLen(2))
		Expect(found.OwnerChain[0]).To(Equal(v1alpha1.OwnerReference{Kind: "ReplicaSet", Name: pod.OwnerReferences[0].Name}))
		Expect(found.OwnerChain[1].Kind).To(Equal("Deployment"))
		Expect(found.NodeName).To(Equal(pod.Spec.NodeName))
		Expect(found.NodeLabels).NotTo(BeEmpty())
		trail := audited(ctx, rr.Name)
		Expect(trail).To(testenv.BeProcessed(signalReceived, requestCreated))
		Expect(trail).To(trailtest.HaveAudited("signalprocessing.enrichment.completed",
			trailtest.WithData("degraded", false), trailtest.WithData("context.ownerChain", HaveLen(2)),
			trailtest.WithData("context.nodeName", pod.Spec.NodeName)))

		By("sending the same alert about its Deployment")
		delete(alert, "pod")
		alert["deployment"] = found.OwnerChain[1].Name
		answer := post(ctx, alertBody("firing", alert))
		Expect(answer.Status).To(Equal("duplicate"))
		Expect(answer.RemediationRequestName).To(Equal(rr.Name))
	}, SpecTimeout(specTimeout))
})

// deployedPod makes a Deployment, and returns its pod once it has a node. The
// image does not exist: the pod need not run.
func deployedPod(ctx context.Context) *corev1.Pod {
	GinkgoHelper()
	name := testenv.Unique("web-*")
	labels := map[string]string{"app": name}
	Expect(env.Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken: new(bool),
					Containers:                   []corev1.Container{{Name: "web", Image: "localhost/web", ImagePullPolicy: corev1.PullNever}},
				},
			},
		},
	})).To(Succeed())
	var found *corev1.Pod
	Expect(testenv.WaitForAll(ctx, env, &corev1.PodList{}, func(pods map[client.ObjectKey]*corev1.Pod) bool {
		for _, pod := range pods {
			if pod.Spec.NodeName != "" {
				found = pod
			}
		}
		return found != nil
	}, client.InNamespace(env.Namespace), client.MatchingLabels(labels))).To(Succeed())
	return found
}
