package alerts_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

const leaseName = "signalprocessing.kubernaut.ai"

var _ = Describe("SignalProcessing:", func() {
	causes("KubernautPoliciesRejected", func(ctx SpecContext) {
		s := site(ctx)
		dir := GinkgoT().TempDir()
		Expect(os.CopyFS(dir, os.DirFS(filepath.Join(projectDir, "internal", "policy", "builtin")))).To(Succeed())
		p := s.processing(ctx, func(o *signalprocessing.Options) { o.PolicyDir, o.Clock = dir, s.clock() })
		m := watch(ctx, s, "KubernautPoliciesRejected")
		m.pass(ctx, time.Minute)
		broken := filepath.Join(dir, "severity.rego")
		good, err := os.ReadFile(broken)
		Expect(err).NotTo(HaveOccurred())
		rewrite(broken, "package kubernaut.severity\ndecision := {\n")
		Expect(os.RemoveAll(broken + ".new")).To(Succeed())
		a := m.fires(ctx, "KubernautPoliciesRejected")
		r := reader{site: s, about: p, values: map[string]string{"DIR": dir}, tolerates: "policy test"}
		r.looks(ctx, a, ContainSubstring("severity.rego:3"))
		Expect(os.WriteFile(broken, good, 0o600)).To(Succeed())
		r.repairs(ctx, a, "kubernaut policy test")
		Expect(r.repairs(ctx, a, "create configmap")).To(ContainSubstring("configmap/kubernaut-policies"))
		m.ends(ctx, "KubernautPoliciesRejected")
		Expect(string(p.log.text())).To(ContainSubstring("policies are in force"))
	})

	causes("KubernautProcessingFails", func(ctx SpecContext) {
		const eachSteps = 10
		s := site(ctx)
		user := testenv.Unique("signalprocessing-*")
		grant(ctx, user, processingRules()...)
		p := s.processing(ctx, func(o *signalprocessing.Options) {
			o.RESTConfig, o.MaxAttempts, o.RetryBackoff = acting(user), 2, time.Millisecond
		})
		m := watch(ctx, s, "KubernautProcessingFails")
		m.pass(ctx, time.Minute)
		var rr *v1alpha1.RemediationRequest
		process := func(phase v1alpha1.RemediationPhase) func() {
			steps := 0
			return func() {
				GinkgoHelper()
				if steps++; steps%eachSteps != 1 {
					return
				}
				rr = s.request()
				Expect(env.Create(ctx, rr)).To(Succeed())
				Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(phase))).To(Succeed())
			}
		}
		a := m.fires(ctx, "KubernautProcessingFails", process(v1alpha1.RemediationManualReview))
		Expect(a.Annotations.Get("summary")).To(HaveSuffix("of the steps in phase Enriching fail"))
		r := reader{site: s, about: p, values: map[string]string{"NAMESPACE NAME": s.namespace + " " + rr.Name}, tolerates: `leases.* not found`}
		r.looks(ctx, a, SatisfyAll(ContainSubstring("forbidden"), ContainSubstring("SignalProcessed")))
		grant(ctx, user, rule("", []string{"pods"}, "get"))
		m.ends(ctx, "KubernautProcessingFails", process(v1alpha1.RemediationClassified))
	})

	causes("KubernautRequestsAreNotDeleted", func(ctx SpecContext) {
		const eachSteps, delays = 20, `signalprocessing_deletions_delayed_total{by="register"}`
		s := site(ctx)
		user := testenv.Unique("signalprocessing-*")
		grant(ctx, user, append(processingRules(), rule("", []string{"pods"}, "get"))...)
		p := s.processing(ctx, func(o *signalprocessing.Options) { o.RESTConfig = acting(user) })
		m := watch(ctx, s, "KubernautRequestsAreNotDeleted")
		m.pass(ctx, time.Minute)
		steps := 0
		a := m.fires(ctx, "KubernautRequestsAreNotDeleted", func() {
			if steps++; steps%eachSteps != 1 {
				return
			}
			before := p.sample(ctx, delays)
			rr := s.request()
			rr.Finalizers = []string{v1alpha1.FinalizerRegister}
			Expect(env.Create(ctx, rr)).To(Succeed())
			Expect(env.Delete(ctx, rr)).To(Succeed())
			p.awaitSample(ctx, delays, before)
		})
		Expect(a.Annotations.Get("summary")).To(Equal("Requests are not deleted, because of their register"))
		(&reader{site: s, about: p}).looks(ctx, a, SatisfyAll(ContainSubstring("leases"), ContainSubstring("forbidden")))
		grant(ctx, user, leases())
		m.ends(ctx, "KubernautRequestsAreNotDeleted")
	})

	causes("KubernautProcessingHasNoLeader", func(ctx SpecContext) {
		s := site(ctx)
		s.clusterState(ctx)
		m := watch(ctx, s, "KubernautProcessingHasNoLeader")
		a := m.fires(ctx, "KubernautProcessingHasNoLeader")
		Expect(a.Labels.Get("namespace")).To(Equal(s.namespace), "no pod exists")

		By("starting a replica while another one that is gone holds the Lease")
		held := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: leaseName},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: new("gone"), LeaseDurationSeconds: new(int32(3600)), RenewTime: new(metav1.NowMicro()), AcquireTime: new(metav1.NowMicro()),
			},
		}
		Expect(env.Create(ctx, held)).To(Succeed())
		p := s.program(ctx, processingName, "--watch-namespace", s.namespace, "--gateway-namespace", s.namespace, "--leader-election-namespace", s.namespace)
		m.pass(ctx, 10*time.Minute)
		Expect(m.active()).To(ContainElement(ContainSubstring("KubernautProcessingHasNoLeader is firing")))
		r := reader{site: s, about: p, values: map[string]string{"NAMESPACE NAME": s.namespace + " none"}, tolerates: `"none" not found`}
		r.looks(ctx, a, MatchRegexp(leaseName+` +gone`))

		By("deleting the Lease")
		Expect(env.Delete(ctx, held)).To(Succeed())
		m.ends(ctx, "KubernautProcessingHasNoLeader")
	})
})

// request is one in the site, about a pod that does not exist.
func (s *siteState) request() *v1alpha1.RemediationRequest {
	rr := env.Request(testenv.Unique("rr-*"))
	rr.Namespace, rr.Spec.TargetResource.Namespace = s.namespace, s.namespace
	return rr
}

// program starts a service as a separate process: the metric of its leader is one of a
// complete process.
func (s *siteState) program(ctx context.Context, name string, flags ...string) *service {
	GinkgoHelper()
	management := "127.0.0.1:" + freePort(ctx)
	one := &service{name: name, management: "http://" + management, log: &journal{}}
	command := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(projectDir, "bin", name), append([]string{
		"serve", "--kubeconfig", env.Kubeconfig, "--datastorage-url", env.DataStorage.URL, "--management-listen", management,
	}, flags...)...)
	command.Stdout, command.Stderr = one.log, one.log
	Expect(command.Start()).To(Succeed(), "make test-alerts builds it")
	DeferCleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	})
	s.add(ctx, one)
	Eventually(ctx, func() error {
		_, _, err := one.scraped.read(ctx)
		return err
	}).WithTimeout(time.Minute).Should(Succeed())
	return one
}

// processingRules are what SignalProcessing needs, without reading pods and Leases.
func processingRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule("kubernaut.ai", []string{"remediationrequests"}, "get", "list", "watch", "patch", "delete"),
		rule("kubernaut.ai", []string{"signalprocessings"}, "get", "list", "watch", "create", "patch"),
		rule("kubernaut.ai", []string{"remediationrequests/status"}, "patch"),
		rule("kubernaut.ai", []string{"signalprocessings/status"}, "update"),
		rule("kubernaut.ai", []string{"remediationrequests/finalizers"}, "update"),
		rule("events.k8s.io", []string{"events"}, "create", "patch"),
		rule("", []string{"namespaces", "nodes", "services"}, "get"),
		rule("networking.k8s.io", []string{"networkpolicies"}, "list"),
		rule("autoscaling", []string{"horizontalpodautoscalers"}, "get", "list"),
		rule("policy", []string{"poddisruptionbudgets"}, "get", "list"),
	}
}
