package alerts_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("the Gateway:", func() {
	causes("KubernautGatewayRequestsDenied", func(ctx SpecContext) {
		s := site(ctx)
		g := s.gateway(ctx, nil)
		lift := s.deny(ctx)
		denied := s.problem()
		m := watch(ctx, s, "KubernautGatewayRequestsDenied")
		a := m.fires(ctx, "KubernautGatewayRequestsDenied", func() {
			Expect(send(ctx, g, "", alertmanager.Firing, denied).Code).To(Equal(http.StatusServiceUnavailable))
		})
		Expect(a.Annotations.Get("summary")).To(Equal("The cluster denies the remediation requests of 1 problems"))
		(&reader{site: s, about: g}).looks(ctx, a, ContainSubstring(`gateway_admission_denials_total{kind="quota",name="none"}`))
		lift(ctx)
		Expect(send(ctx, g, "", alertmanager.Firing, denied).Code).To(Equal(http.StatusCreated))
		m.ends(ctx, "KubernautGatewayRequestsDenied")
	})

	causes("KubernautGatewaySignalsUndeliverable", func(ctx SpecContext) {
		s := site(ctx)
		g := s.gateway(ctx, func(o *gateway.Options) { o.Clock = s.clock() })
		lift := s.deny(ctx)
		denied := s.problem()
		m := watch(ctx, s, "KubernautGatewaySignalsUndeliverable")
		a := m.fires(ctx, "KubernautGatewaySignalsUndeliverable", func() {
			Expect(send(ctx, g, "", alertmanager.Firing, denied).Code).To(BeElementOf(http.StatusServiceUnavailable, http.StatusUnprocessableEntity))
		})
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(
			ContainSubstring("gateway.signal.undeliverable"), MatchRegexp(`(?m)^gateway_undeliverable_problems 1$`)))
		lift(ctx)
		Expect(send(ctx, g, "", alertmanager.Firing, denied).Code).To(Equal(http.StatusCreated))
		m.ends(ctx, "KubernautGatewaySignalsUndeliverable")
	})

	causes("KubernautGatewayTruncatesSignals", func(ctx SpecContext) {
		s := site(ctx)
		g := s.gateway(ctx, func(o *gateway.Options) { o.MaxSignals = 2 })
		m := watch(ctx, s, "KubernautGatewayTruncatesSignals")
		m.pass(ctx, time.Minute)
		Expect(send(ctx, g, "", alertmanager.Firing, s.problem(), s.problem(), s.problem()).Summary).To(HaveKeyWithValue("truncated", 1))
		a := m.fires(ctx, "KubernautGatewayTruncatesSignals")
		Expect(a.Annotations.Get("summary")).To(HaveSuffix("by the gateway"))
		(&reader{site: s, about: g}).looks(ctx, a, ContainSubstring("gateway.signal.truncated"))
		m.ends(ctx, "KubernautGatewayTruncatesSignals")
	})

	causes("KubernautOpenRequestsExceeded", func(ctx SpecContext) {
		s := site(ctx)
		g := s.gateway(ctx, func(o *gateway.Options) { o.MaxOpenPerNamespace = 10 })
		m := watch(ctx, s, "KubernautOpenRequestsExceeded")
		m.pass(ctx, time.Minute)
		a := m.fires(ctx, "KubernautOpenRequestsExceeded", func() { send(ctx, g, "", alertmanager.Firing, s.problem()) })
		Expect(a.Annotations.Get("summary")).To(HaveSuffix("because the bound for each namespace is reached"))
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("KubePodCrashLooping"), ContainSubstring("Overflow")))
		m.ends(ctx, "KubernautOpenRequestsExceeded")
	})

	causes("KubernautOpenRequestsFilling", func(ctx SpecContext) {
		const limit, open = 10, 9
		s := site(ctx)
		g := s.gateway(ctx, func(o *gateway.Options) { o.MaxOpen = limit })
		s.processing(ctx, nil)
		problems := make([]map[string]string, open)
		for i := range problems {
			problems[i] = s.problem()
			Expect(send(ctx, g, "", alertmanager.Firing, problems[i]).Code).To(Equal(http.StatusCreated))
		}
		m := watch(ctx, s, "KubernautOpenRequestsFilling")
		a := m.fires(ctx, "KubernautOpenRequestsFilling")
		Expect(a.Annotations.Get("summary")).To(HavePrefix("9 remediation requests are open"))
		(&reader{site: s, about: g}).looks(ctx, a, ContainSubstring("KubePodCrashLooping"))
		Expect(send(ctx, g, "", alertmanager.Resolved, problems...).Code).To(BeElementOf(http.StatusOK, http.StatusMultiStatus))
		Expect(testenv.WaitForAll(ctx, env, &v1alpha1.RemediationRequestList{}, func(all map[client.ObjectKey]*v1alpha1.RemediationRequest) bool {
			for _, rr := range all {
				if rr.Status.Phase != v1alpha1.RemediationSkipped {
					return false
				}
			}
			return len(all) == open
		}, client.InNamespace(s.namespace))).To(Succeed())
		m.ends(ctx, "KubernautOpenRequestsFilling")
	})

	causes("KubernautGatewayCannotCountSignals", func(ctx SpecContext) {
		s := site(ctx)
		user := "system:serviceaccount:" + s.namespace + ":gateway"
		grant(ctx, user, append(gatewayRules(), leases())...)
		g := s.gateway(ctx, func(o *gateway.Options) { o.RESTConfig = acting(user) })
		problem := s.problem()
		Expect(send(ctx, g, "", alertmanager.Firing, problem).Code).To(Equal(http.StatusCreated))
		m := watch(ctx, s, "KubernautGatewayCannotCountSignals")
		m.pass(ctx, time.Minute)
		a := m.fires(ctx, "KubernautGatewayCannotCountSignals", func() {
			Expect(send(ctx, g, "", alertmanager.Resolved, problem).Code).To(Equal(http.StatusServiceUnavailable))
		})
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("remediationrequests/status"), ContainSubstring("no\n")))
		grant(ctx, user, rule("kubernaut.ai", []string{"remediationrequests/status"}, "patch"))
		m.ends(ctx, "KubernautGatewayCannotCountSignals")
	})

	causes("KubernautHeartbeatLost", func(ctx SpecContext) {
		s := site(ctx)
		g := s.gateway(ctx, func(o *gateway.Options) { o.Clock, o.Heartbeats = s.clock(), []string{"Watchdog,within=5m"} })
		beat := map[string]string{"alertname": "Watchdog", "severity": "none"}
		Expect(send(ctx, g, "", alertmanager.Firing, beat).Status).To(Equal("ignored"))
		m := watch(ctx, s, "KubernautHeartbeatLost")
		a := m.fires(ctx, "KubernautHeartbeatLost")
		Expect(a.Annotations.Get("summary")).To(HavePrefix("1 heartbeats"))
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("HeartbeatLost"), ContainSubstring("Watchdog")))
		m.ends(ctx, "KubernautHeartbeatLost", func() {
			Expect(send(ctx, g, "", alertmanager.Firing, beat).Status).To(Equal("ignored"))
		})
	})

	causes("KubernautHeartbeatsUnchecked", func(ctx SpecContext) {
		s := site(ctx)
		user := testenv.Unique("gateway-*")
		grant(ctx, user, gatewayRules()...)
		revoke := grant(ctx, user, leases())
		g := s.gateway(ctx, func(o *gateway.Options) {
			o.RESTConfig, o.Clock, o.Heartbeats = acting(user), s.clock(), []string{"Watchdog,within=5m"}
		})
		m := watch(ctx, s, "KubernautHeartbeatsUnchecked")
		m.pass(ctx, time.Minute)
		revoke(ctx)
		a := m.fires(ctx, "KubernautHeartbeatsUnchecked")
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("heartbeat"), ContainSubstring("forbidden")))
		grant(ctx, user, leases())
		m.ends(ctx, "KubernautHeartbeatsUnchecked")
	})

	causes("KubernautTargetRulesRejected", func(ctx SpecContext) {
		s := site(ctx)
		g := s.gateway(ctx, func(o *gateway.Options) { o.TargetRulesConfigMap = targetRules })
		rules := s.rules(ctx, `object("Deployment", labels.queue + 1)`)
		m := watch(ctx, s, "KubernautTargetRulesRejected")
		a := m.fires(ctx, "KubernautTargetRulesRejected")
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("TargetRulesRejected"), ContainSubstring("line 3, column ")))
		Expect(env.Delete(ctx, rules)).To(Succeed())
		s.rules(ctx, `object("Deployment", labels.queue)`)
		m.ends(ctx, "KubernautTargetRulesRejected")
	})

	causes("KubernautTargetRuleFails", func(ctx SpecContext) {
		s := site(ctx)
		rules := s.rules(ctx, `object("Deployment", string(int(labels.queue)))`)
		g := s.gateway(ctx, func(o *gateway.Options) { o.TargetRulesConfigMap = targetRules })
		problem := func() map[string]string {
			labels := s.problem()
			labels["queue"] = "orders"
			return labels
		}
		m := watch(ctx, s, "KubernautTargetRuleFails")
		labels := problem()
		a := m.fires(ctx, "KubernautTargetRuleFails", func() { send(ctx, g, "", alertmanager.Firing, labels) })
		Expect(a.Annotations.Get("summary")).To(Equal("The target rule configmap/queue cannot be evaluated for some signals"))
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("target rule"), ContainSubstring("queue")))
		Expect(env.Delete(ctx, rules)).To(Succeed())
		m.ends(ctx, "KubernautTargetRuleFails")
	})
})

const targetRules = "gateway-target-rules"

// rules makes the ConfigMap of one target rule, for alerts with a queue.
func (s *siteState) rules(ctx context.Context, target string) *corev1.ConfigMap {
	GinkgoHelper()
	made := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: targetRules},
		Data:       map[string]string{"rules.yaml": fmt.Sprintf("rules:\n- name: queue\n  target: %s\n", target)},
	}
	Expect(env.Create(ctx, made)).To(Succeed())
	return made
}

// deny makes a quota deny every remediation request of the site until lift.
func (s *siteState) deny(ctx context.Context) (lift func(context.Context)) {
	GinkgoHelper()
	none := corev1.ResourceList{"count/remediationrequests.kubernaut.ai": resource.MustParse("0")}
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none},
	}
	Expect(env.Create(ctx, quota)).To(Succeed())
	quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
	Expect(env.Status().Update(ctx, quota)).To(Succeed())
	sample := env.Request(testenv.Unique("sample-*"))
	sample.Namespace = s.namespace
	permitted := func() error { return env.Create(ctx, sample.DeepCopy(), client.DryRunAll) }
	Eventually(ctx, permitted).Should(HaveOccurred())
	return func(ctx context.Context) {
		GinkgoHelper()
		Expect(env.Delete(ctx, quota)).To(Succeed())
		Eventually(ctx, permitted).Should(Succeed())
	}
}

// gatewayRules are what a Gateway needs to take signals, without leases and statuses.
func gatewayRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule("kubernaut.ai", []string{"remediationrequests"}, "get", "list", "watch", "create", "delete"),
		rule("", []string{"namespaces", "pods"}, "get"),
		rule("", []string{"nodes"}, "get", "list"),
		rule("events.k8s.io", []string{"events"}, "create", "patch"),
	}
}

func leases() rbacv1.PolicyRule {
	return rule("coordination.k8s.io", []string{"leases"}, "get", "list", "create", "update", "delete")
}
