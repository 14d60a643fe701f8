//go:build integration

package integration_test

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("enrichment", func() {
	It("finds owners, node, protection, mesh and GitOps tool of a pod", func(ctx SpecContext) {
		namespace := namespaceNamed(ctx, "shop-*", map[string]string{"istio-injection": "enabled", "team": "checkout"}, nil)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("node-*"), Labels: map[string]string{"zone": "a"}}}
		Expect(env.Create(ctx, node)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, node)).To(Succeed()) })
		deployment, pod := deploymentWithPod(ctx, namespace, node.Name)
		guards(ctx, namespace, deployment.Name)

		rr := env.Request(env.CorrelationID())
		rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Pod", Name: pod.Name, Namespace: namespace}
		found := classified(ctx, rr).Status.Context
		Expect(found.Degraded).To(BeFalse(), found.DegradedReason)
		Expect(found.OwnerChain).To(Equal([]v1alpha1.OwnerReference{
			{Kind: "ReplicaSet", Name: deployment.Name + "-1"}, {Kind: "Deployment", Name: deployment.Name},
		}))
		Expect(found.TargetLabels).To(Equal(map[string]string{"app": "web"}))
		Expect(found.NamespaceLabels).To(HaveKeyWithValue("team", "checkout"))
		Expect(found.NodeName).To(Equal(node.Name))
		Expect(found.NodeLabels).To(HaveKeyWithValue("zone", "a"))
		Expect(found.Protection).To(Equal(v1alpha1.Protection{
			HorizontalPodAutoscalers: []string{"web"},
			PodDisruptionBudgets:     []string{"everything", "web"},
			NetworkPolicies:          []string{"web"},
			ServiceMesh:              "istio",
			GitOpsTool:               "argocd",
		}))
		Expect(auditTrail(ctx, rr)).To(trailtest.HaveAudited(enrichmentCompleted,
			trailtest.WithData("degraded", false),
			trailtest.WithData("context.nodeName", node.Name),
			trailtest.WithData("context.ownerChain", HaveLen(2))))

		By("asking about the deployment itself")
		rr = env.Request(env.CorrelationID())
		rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Deployment", Name: deployment.Name, Namespace: namespace}
		found = classified(ctx, rr).Status.Context
		Expect(found.OwnerChain).To(BeEmpty())
		Expect(found.NodeName).To(BeEmpty())
		Expect(found.Protection.HorizontalPodAutoscalers).To(Equal([]string{"web"}))
		Expect(found.Protection.NetworkPolicies).To(Equal([]string{"web"}))
	}, SpecTimeout(specTimeout))

	It("names at most ten owners", func(ctx SpecContext) {
		namespace := namespaceNamed(ctx, "shop-*", nil, nil)
		var owner client.Object
		for range 13 {
			owner = replicaSet(ctx, namespace, testenv.Unique("web-*"), owner, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
		}
		rr := env.Request(env.CorrelationID())
		rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "ReplicaSet", Name: owner.GetName(), Namespace: namespace}
		Expect(classified(ctx, rr).Status.Context.OwnerChain).To(HaveLen(10))
	}, SpecTimeout(specTimeout))

	It("ends the chain at an owner that is gone or of a kind it does not read", func(ctx SpecContext) {
		namespace := namespaceNamed(ctx, "shop-*", nil, nil)
		rollout := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "7"}}
		for _, kind := range []schema.GroupVersionKind{
			{Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"},
			{Group: "apps", Version: "v1", Kind: "Deployment"},
			{Group: "apps.example", Version: "v1", Kind: "Deployment"},
		} {
			rs := replicaSet(ctx, namespace, testenv.Unique("web-*"), rollout, kind)
			rr := env.Request(env.CorrelationID())
			rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "ReplicaSet", Name: rs.GetName(), Namespace: namespace}
			found := classified(ctx, rr).Status.Context
			Expect(found.Degraded).To(BeFalse(), found.DegradedReason)
			Expect(found.OwnerChain).To(Equal([]v1alpha1.OwnerReference{{Kind: kind.Kind, Name: "web"}}))
		}
	}, SpecTimeout(specTimeout))

	It("reads a node, which has no namespace", func(ctx SpecContext) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("node-*"), Labels: map[string]string{"env": "prod"}}}
		Expect(env.Create(ctx, node)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, node)).To(Succeed()) })
		rr := env.Request(env.CorrelationID())
		rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Node", Name: node.Name}
		sp := classified(ctx, rr)
		Expect(sp.Status.Context.Degraded).To(BeFalse(), sp.Status.Context.DegradedReason)
		Expect(sp.Status.Context.NodeName).To(Equal(node.Name))
		Expect(sp.Status.Environment.Value).To(Equal(v1alpha1.EnvironmentProduction))
	}, SpecTimeout(specTimeout))

	It("reads nothing outside of the namespace of a request that the Gateway did not put there", func(ctx SpecContext) {
		const label = "kubernaut.ai/owner"
		mine, theirs := namespaceNamed(ctx, "shop-*", nil, nil), namespaceNamed(ctx, "till-*", map[string]string{label: "somebody-else"}, nil)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("node-*")}}
		Expect(env.Create(ctx, node)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, node)).To(Succeed()) })
		elsewhere := replicaSet(ctx, theirs, testenv.Unique("web-*"), nil, schema.GroupVersionKind{})
		startProcessor(ctx, mine, func(o *signalprocessing.Options) { o.GatewayNamespace = env.Namespace })
		for _, target := range []v1alpha1.TargetResource{
			{Kind: "ReplicaSet", Name: elsewhere.GetName(), Namespace: theirs}, {Kind: "Namespace", Name: theirs}, {Kind: "Node", Name: node.Name},
		} {
			rr := env.Request(env.CorrelationID())
			rr.Namespace, rr.Spec.TargetResource = mine, target
			found := classified(ctx, rr).Status.Context
			Expect(found).To(Equal(&v1alpha1.EnrichedContext{
				Degraded: true, DegradedReason: fmt.Sprintf("the target is not in namespace %q, where the request is, so it was not read", mine),
			}), target.Kind)

			rr = env.Request(env.CorrelationID()) // in the Gateway's namespace
			rr.Spec.TargetResource = target
			Expect(classified(ctx, rr).Status.Context.Degraded).To(BeFalse(), target.Kind)
		}
	}, SpecTimeout(specTimeout))

	DescribeTable("continues without missing objects", func(ctx SpecContext, target v1alpha1.TargetResource, reason string) {
		target.Name = testenv.Unique(target.Name)
		target.Namespace = testenv.Unique(target.Namespace)
		rr := env.Request(env.CorrelationID())
		rr.Spec.TargetResource = target
		sp := classified(ctx, rr)
		Expect(sp.Status.Context.Degraded).To(BeTrue())
		Expect(sp.Status.Context.DegradedReason).To(ContainSubstring(reason))
		Expect(sp.Status.Severity.Value).To(Equal(v1alpha1.SeverityCritical))
		trail := auditTrail(ctx, rr)
		expectWholeTrail(trail)
		Expect(trail).To(trailtest.HaveAudited(enrichmentCompleted, trailtest.WithData("degraded", true),
			trailtest.WithData("context.degradedReason", ContainSubstring(reason))))
		Expect(trail).To(trailtest.HaveAudited(processed, trailtest.WithOutcome("success"), trailtest.WithData("degraded", true)))
	},
		Entry("a pod", v1alpha1.TargetResource{Kind: "Pod", Name: "web-*", Namespace: "default"}, "does not exist", SpecTimeout(specTimeout)),
		Entry("a namespace", v1alpha1.TargetResource{Kind: "Pod", Name: "web-*", Namespace: "gone-*"}, "namespace", SpecTimeout(specTimeout)),
		Entry("a node", v1alpha1.TargetResource{Kind: "Node", Name: "node-*"}, "does not exist", SpecTimeout(specTimeout)),
		Entry("an unsupported kind", v1alpha1.TargetResource{Kind: "Unknown", Name: "web-*", Namespace: "default"}, `kind "Unknown"`, SpecTimeout(specTimeout)),
		Entry("a namespace's name", v1alpha1.TargetResource{Kind: "Pod", Name: "web-*"}, "names no namespace", SpecTimeout(specTimeout)),
	)

	It("classifies by the namespace when the target is gone", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.TargetResource.Namespace = namespaceNamed(ctx, "shop-*", map[string]string{"environment": "production"}, nil)
		sp := classified(ctx, rr)
		Expect(sp.Status.Context.Degraded).To(BeTrue())
		Expect(sp.Status.Environment.Value).To(Equal(v1alpha1.EnvironmentProduction))
		Expect(sp.Status.Priority.Value).To(Equal(v1alpha1.PriorityP0))
	}, SpecTimeout(specTimeout))
})

func template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
	}
}

// deploymentWithPod makes what controllers would make in a whole cluster: a
// Deployment, its ReplicaSet and a pod.
func deploymentWithPod(ctx context.Context, namespace, node string) (*appsv1.Deployment, *corev1.Pod) {
	GinkgoHelper()
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: testenv.Unique("web-*"),
			Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"},
		},
		Spec: appsv1.DeploymentSpec{Selector: selector, Template: template()},
	}
	Expect(env.Create(ctx, deployment)).To(Succeed())
	rs := replicaSet(ctx, namespace, deployment.Name+"-1", deployment, appsv1.SchemeGroupVersion.WithKind("Deployment"))
	pod := podIn(namespace)
	pod.Labels = map[string]string{"app": "web"}
	pod.Spec.NodeName = node
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
	Expect(env.Create(ctx, pod)).To(Succeed())
	return deployment, pod
}

func replicaSet(ctx context.Context, namespace, name string, owner client.Object, ownerKind schema.GroupVersionKind) *appsv1.ReplicaSet {
	GinkgoHelper()
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template()},
	}
	if owner != nil {
		rs.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, ownerKind)}
	}
	Expect(env.Create(ctx, rs)).To(Succeed())
	return rs
}

// guards makes objects that protect or scale the pods with app=web and their
// Deployment, and others that do not.
func guards(ctx context.Context, namespace, deployment string) {
	GinkgoHelper()
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	apps := func(app string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	}
	one := intstr.FromInt32(1)
	scaled := func(name, target string) *autoscalingv2.HorizontalPodAutoscaler {
		return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: named(name), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target}, MaxReplicas: 3,
		}}
	}
	for _, object := range []client.Object{
		scaled("web", deployment),
		scaled("other", "other"),
		&policyv1.PodDisruptionBudget{ObjectMeta: named("web"), Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: apps("web")}},
		&policyv1.PodDisruptionBudget{ObjectMeta: named("other"), Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: apps("other")}},
		&policyv1.PodDisruptionBudget{ObjectMeta: named("everything"), Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{}}},
		&networkingv1.NetworkPolicy{ObjectMeta: named("web"), Spec: networkingv1.NetworkPolicySpec{PodSelector: *apps("web")}},
		&networkingv1.NetworkPolicy{ObjectMeta: named("other"), Spec: networkingv1.NetworkPolicySpec{PodSelector: *apps("other")}},
	} {
		Expect(env.Create(ctx, object)).To(Succeed())
	}
}
