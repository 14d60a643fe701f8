//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("signal processing with failures", func() {
	It("works with exactly the documented permissions", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		node := podOnNode(ctx, rr)
		p := startProcessor(ctx, rr.Namespace, as(ctx, documentedRules()))
		sp := classified(ctx, rr)
		p.stop(ctx)
		Expect(sp.Status.Context.NodeName).To(Equal(node))
		expectWholeTrail(auditTrail(ctx, rr))
	}, SpecTimeout(specTimeout))

	It("fails after the last attempt when a permission is missing, and audits each", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		p := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) {
			as(ctx, without("pods", documentedRules()))(o)
			o.MaxAttempts, o.RetryBackoff = 3, time.Millisecond
		})
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationManualReview))).To(Succeed())
		p.stop(ctx)

		Expect(rr.Status.CompletedAt).To(BeNil(), "a request that a person has to look at is open")
		Expect(rr.Status.Message).To(ContainSubstring("forbidden"))
		Expect(meta.IsStatusConditionFalse(rr.Status.Conditions, "SignalProcessed")).To(BeTrue())
		sp := processingOf(ctx, rr)
		Expect(sp.Status.Phase).To(Equal(v1alpha1.ProcessingFailed))
		Expect(sp.Status.Attempt).To(BeEquivalentTo(3))
		Expect(meta.FindStatusCondition(sp.Status.Conditions, v1alpha1.ConditionEnrichmentComplete).Reason).To(Equal("Forbidden"))
		Expect(meta.IsStatusConditionFalse(sp.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())

		trail := auditTrail(ctx, rr)
		attempt := func(n int, final bool) OmegaMatcher {
			return SatisfyAll(trailtest.WithOutcome("failure"),
				trailtest.WithErrorCode("forbidden"),
				HaveField("ErrorMessage", HaveValue(ContainSubstring(rr.Spec.TargetResource.Name))),
				trailtest.WithData("attempt", n), trailtest.WithData("final", final), trailtest.WithData("phase", "Enriching"))
		}
		Expect(trail.Of(errorOccurred)).To(ConsistOf(attempt(1, false), attempt(2, false), attempt(3, true)))
		Expect(trail.Of(processed)).To(ConsistOf(SatisfyAll(trailtest.WithOutcome("failure"), trailtest.WithData("phase", "Failed"))))
		Expect(trail.Of(testenv.PhaseTransition)).To(ConsistOf(
			trailtest.WithData("to", "Enriching"),
			SatisfyAll(trailtest.WithOutcome("failure"), trailtest.WithData("from", "Enriching"), trailtest.WithData("to", "Failed")),
		))
		Expect(trail).To(HaveLen(6))
	}, SpecTimeout(specTimeout))

	It("continues once the missing permission is granted", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		var user string
		p := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) {
			as(ctx, without("namespaces", documentedRules()))(o)
			user = o.RESTConfig.Impersonate.UserName
			o.MaxAttempts, o.RetryBackoff, o.MaxRetryBackoff = 100_000, 5*time.Millisecond, 5*time.Millisecond
		})
		Expect(env.Create(ctx, rr)).To(Succeed())
		sp := &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Name}}
		Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool { return sp.Status.Attempt >= 2 })).To(Succeed())
		grant(ctx, user, documentedRules())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		p.stop(ctx)

		Expect(processingOf(ctx, rr).Status.Attempt).To(BeZero())
		trail := auditTrail(ctx, rr)
		Expect(trail).To(testenv.HaveSteps(testenv.Steps))
		failures := trail.Of(errorOccurred)
		Expect(len(failures)).To(BeNumerically(">=", 2))
		for i := range failures {
			Expect(failures[i]).To(trailtest.WithData("attempt", i+1))
		}
	}, SpecTimeout(specTimeout))

	It("records each event exactly once while others change its resources", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		p := startProcessor(ctx, rr.Namespace, nil)
		Expect(env.Create(ctx, rr)).To(Succeed())
		storm, calm := context.WithCancel(ctx)
		defer calm()
		changed := make(chan int)
		for _, object := range []client.Object{&v1alpha1.SignalProcessing{}, &v1alpha1.RemediationRequest{}} {
			go func() { changed <- changeUntil(storm, object, client.ObjectKeyFromObject(rr)) }()
		}
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		calm()
		AddReportEntry("changes by others", <-changed+<-changed)
		p.stop(ctx)
		expectWholeTrail(auditTrail(ctx, rr))
	}, SpecTimeout(specTimeout))

	It("records each event exactly once when it is restarted in every phase", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		Expect(env.Create(ctx, rr)).To(Succeed())
		sp := &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Namespace: rr.Namespace, Name: rr.Name}}
		starts := 0
		for ; sp.Status.Phase != v1alpha1.ProcessingCompleted; starts++ {
			before := sp.Status.Phase
			p := startProcessor(ctx, rr.Namespace, nil)
			Expect(testenv.WaitFor(ctx, env, sp, func(sp *v1alpha1.SignalProcessing) bool { return sp.Status.Phase != before })).To(Succeed())
			p.stop(ctx)
		}
		AddReportEntry("starts", starts)
		p := startProcessor(ctx, rr.Namespace, nil)
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		p.stop(ctx)
		expectWholeTrail(auditTrail(ctx, rr))
	}, SpecTimeout(specTimeout))

	It("records each event exactly once when two replicas work concurrently", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		one := startProcessor(ctx, rr.Namespace, nil)
		two := startProcessor(ctx, rr.Namespace, nil)
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		one.stop(ctx)
		two.stop(ctx)
		expectWholeTrail(auditTrail(ctx, rr))
	}, SpecTimeout(specTimeout))

	It("lets the elected replica work, and another take over", func(ctx SpecContext) {
		rr := requestElsewhere(ctx)
		elected := func(o *signalprocessing.Options) {
			o.LeaderElect, o.LeaderElectionNamespace = true, rr.Namespace
		}
		one := startProcessor(ctx, rr.Namespace, elected)
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		two := startProcessor(ctx, rr.Namespace, elected)
		one.stop(ctx)
		next := env.Request(env.CorrelationID())
		next.Namespace = rr.Namespace
		classified(ctx, next)
		two.stop(ctx)
		expectWholeTrail(auditTrail(ctx, rr))
		expectWholeTrail(auditTrail(ctx, next))
	}, SpecTimeout(specTimeout))
})

// requestElsewhere is a request in a namespace that the process's own
// SignalProcessing does not watch.
func requestElsewhere(ctx context.Context) *v1alpha1.RemediationRequest {
	GinkgoHelper()
	namespace, err := env.NewNamespace(ctx, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	rr := env.Request(env.CorrelationID())
	rr.Namespace = namespace
	rr.Spec.TargetResource.Namespace = namespace
	return rr
}

// podOnNode makes the request's target, a pod that runs on a node.
func podOnNode(ctx context.Context, rr *v1alpha1.RemediationRequest) string {
	GinkgoHelper()
	pod := podIn(rr.Namespace)
	pod.Name, pod.Spec.NodeName = rr.Spec.TargetResource.Name, testenv.Unique("node-*")
	Expect(env.Create(ctx, pod)).To(Succeed())
	return pod.Spec.NodeName
}

// changeUntil changes an annotation until ctx ends and returns how often it did.
func changeUntil(ctx context.Context, object client.Object, key client.ObjectKey) int {
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	changes := 0
	for i := 0; ctx.Err() == nil; i++ {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"someone.example/else":"%d"}}}`, i)
		if env.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)) == nil {
			changes++
		}
	}
	return changes
}

// documentedRules are the permissions in the markers of the service's controllers.
func documentedRules() []rbacv1.PolicyRule {
	rule := func(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
	}
	return []rbacv1.PolicyRule{
		rule("kubernaut.ai", []string{"remediationrequests"}, "get", "list", "watch", "patch", "delete"),
		rule("kubernaut.ai", []string{"signalprocessings"}, "get", "list", "watch", "create", "patch"),
		rule("kubernaut.ai", []string{"remediationrequests/status"}, "patch"),
		rule("kubernaut.ai", []string{"signalprocessings/status"}, "update"),
		rule("kubernaut.ai", []string{"remediationrequests/finalizers"}, "update"),
		rule("events.k8s.io", []string{"events"}, "create", "patch"),
		rule("", []string{"pods"}, "get"),
		rule("", []string{"namespaces"}, "get"),
		rule("", []string{"nodes", "services", "persistentvolumeclaims", "persistentvolumes", "replicationcontrollers"}, "get"),
		rule("apps", []string{"deployments", "replicasets", "statefulsets", "daemonsets"}, "get"),
		rule("batch", []string{"jobs", "cronjobs"}, "get"),
		rule("networking.k8s.io", []string{"ingresses"}, "get"),
		rule("networking.k8s.io", []string{"networkpolicies"}, "list"),
		rule("autoscaling", []string{"horizontalpodautoscalers"}, "get", "list"),
		rule("policy", []string{"poddisruptionbudgets"}, "get", "list"),
		rule("coordination.k8s.io", []string{"leases"}, "get", "create", "update"),
	}
}

// without returns the rules except the one about a resource.
func without(resource string, rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var remaining []rbacv1.PolicyRule
	for _, rule := range rules {
		if len(rule.Resources) != 1 || rule.Resources[0] != resource {
			remaining = append(remaining, rule)
		}
	}
	return remaining
}

// as makes a service act as a user with exactly these permissions.
func as(ctx context.Context, rules []rbacv1.PolicyRule) func(*signalprocessing.Options) {
	GinkgoHelper()
	user := testenv.Unique("signalprocessing-*")
	grant(ctx, user, rules)
	return func(o *signalprocessing.Options) {
		o.RESTConfig = rest.CopyConfig(env.Config)
		o.RESTConfig.Impersonate = rest.ImpersonationConfig{UserName: user}
	}
}

// grant grants a user permissions until the end of the spec.
func grant(ctx context.Context, user string, rules []rbacv1.PolicyRule) {
	GinkgoHelper()
	name := testenv.Unique("integration-*")
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	for _, object := range []client.Object{role, binding} {
		Expect(env.Create(ctx, object)).To(Succeed())
		// The spec's own context has ended by then.
		DeferCleanup(func(ctx SpecContext) { //nolint:contextcheck // see above
			Expect(client.IgnoreNotFound(env.Delete(ctx, object))).To(Succeed())
		})
	}
}
