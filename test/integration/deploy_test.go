//go:build integration

package integration_test

import (
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// inNoNamespace are the kinds of the deployment that are in no namespace.
var inNoNamespace = []string{
	"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "APIService", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}

var _ = Describe("deployment: conventions", func() {
	eachOverlay("every container is confined, bounded and watched", func(d deployment) {
		for _, w := range d.workloads() {
			for _, c := range w.containers() {
				what := w.name + "/" + c.Name
				Expect(c.SecurityContext).NotTo(BeNil(), what)
				Expect(c.SecurityContext.ReadOnlyRootFilesystem).To(HaveValue(BeTrue()), what)
				Expect(c.Resources.Limits.Memory().IsZero()).To(BeFalse(), "%s: no memory limit", what)
				Expect(c.Resources.Requests).To(And(HaveKey(corev1.ResourceCPU), HaveKey(corev1.ResourceMemory)), what)
				Expect(c.Image).To(MatchRegexp(`^[^@]+(:[^:/]+|@sha256:.+)$`), "%s: an image without a tag is latest", what)
				Expect(c.Image).NotTo(HaveSuffix(":latest"), what)
				Expect(c.ImagePullPolicy).To(Equal(corev1.PullIfNotPresent), what)
				expectMemoryForGo(what, &c)
			}
			for _, c := range w.template.Spec.Containers {
				what := w.name + "/" + c.Name
				Expect(c.StartupProbe).NotTo(BeNil(), what)
				Expect(c.LivenessProbe).NotTo(BeNil(), what)
				Expect(c.ReadinessProbe).NotTo(BeNil(), what)
			}
			Expect(w.template.Spec.AutomountServiceAccountToken).NotTo(BeNil(), "%s: says whether it needs the API server", w.name)
			Expect(w.template.Spec.EnableServiceLinks).To(HaveValue(BeFalse()), "%s: variables of Services would pass for flags", w.name)
		}
	})

	eachOverlay("every object says what it belongs to", func(d deployment) {
		for _, u := range d {
			Expect(u.GetLabels()).To(HaveKeyWithValue("app.kubernetes.io/part-of", "kubernaut"), "%s %s", u.GetKind(), u.GetName())
			if !slices.Contains(inNoNamespace, u.GetKind()) {
				Expect(u.GetNamespace()).To(Equal(deployNamespace), "%s %s", u.GetKind(), u.GetName())
			}
		}
	})

	eachOverlay("every rule names what it permits, and every binding what it binds", func(d deployment) {
		provided := d.provided()
		for _, role := range typed[rbacv1.ClusterRole](d, "ClusterRole", "Role") {
			Expect(len(role.Rules) > 0 || role.AggregationRule != nil).To(BeTrue(), role.Name)
			for _, rule := range role.Rules {
				all := slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs)
				Expect(all).NotTo(ContainElement(ContainSubstring("*")), role.Name)
				Expect(rule.Resources).NotTo(ContainElement("secrets"), role.Name)
				Expect(rule.ResourceNames).NotTo(ContainElement(MatchRegexp("-[a-z0-9]{10}$")), "%s: the hash of a ConfigMap", role.Name)
				Expect(rule.Verbs).NotTo(ContainElement(BeElementOf("bind", "escalate", "impersonate", "deletecollection")), role.Name)
			}
		}
		for _, binding := range typed[rbacv1.RoleBinding](d, "ClusterRoleBinding", "RoleBinding") {
			Expect(provided).To(HaveKey(binding.RoleRef.Kind+"/"+binding.RoleRef.Name), binding.Name)
			for _, subject := range binding.Subjects {
				Expect(provided).To(HaveKey(subject.Kind+"/"+subject.Name), binding.Name)
				Expect(subject.Namespace).To(Equal(deployNamespace), binding.Name)
			}
		}
	})

	It("grants a flusher what a flush of all pods requires", func() {
		for _, role := range typed[rbacv1.Role](build("production"), "Role") {
			if role.Name == "flusher" {
				Expect(role.Rules).To(ConsistOf(append(slices.Clone(mayWatch), maySeeVolumes, mayProxy, mayForward)))
				return
			}
		}
		Fail("no role flusher")
	})

	eachOverlay("whatever a pod refers to is there", func(d deployment) {
		provided := d.provided()
		if d.find("postgres") == nil {
			provided["Secret/datastorage-database"] = true // created by the operator, as the overlay says
		}
		for _, w := range d.workloads() {
			for name := range given(&w.template.Spec) {
				Expect(provided).To(HaveKey(name), "%s wants %s of %s", w.name, name, sorted(provided))
			}
			if account := w.template.Spec.ServiceAccountName; account != "" {
				Expect(provided).To(HaveKey("ServiceAccount/"+account), w.name)
			}
			if w.serviceName != "" {
				Expect(provided).To(HaveKey("Service/"+w.serviceName), w.name)
			}
		}
	})

	eachOverlay("whatever chooses pods chooses some, at ports that they have", func(d deployment) {
		for _, s := range typed[corev1.Service](d, "Service") {
			chosen := d.selected(labels.SelectorFromSet(s.Spec.Selector))
			Expect(chosen).To(HaveLen(1), "service %s", s.Name)
			for _, p := range s.Spec.Ports {
				Expect(chosen[0].ports()).To(ContainElement(p.TargetPort.StrVal), "service %s", s.Name)
			}
		}
		for _, b := range typed[policyv1.PodDisruptionBudget](d, "PodDisruptionBudget") {
			Expect(d.selected(selector(b.Spec.Selector))).To(HaveLen(1), "disruption budget %s", b.Name)
		}
		for _, p := range typed[networkingv1.NetworkPolicy](d, "NetworkPolicy") {
			expectPolicyToMatch(d, p)
		}
		for _, u := range d {
			if u.GetKind() == "PodMonitor" {
				expectMonitorToMatch(d, u)
			}
		}
	})

	eachOverlay("every service may be disrupted by one replica at a time", func(d deployment) {
		budgets := d.names("PodDisruptionBudget")
		for _, w := range d.workloads() {
			if w.name != "postgres" { // one replica, for trials
				Expect(budgets).To(ContainElement(w.name))
			}
		}
	})

	It("leaves the number of replicas to the autoscaler, which never scales a spool away", func() {
		d := build("production")
		scalers := typed[autoscalingv2.HorizontalPodAutoscaler](d, "HorizontalPodAutoscaler")
		Expect(scalers).To(HaveLen(2))
		for _, s := range scalers {
			w := d.workload(s.Spec.ScaleTargetRef.Name)
			Expect(w.kind).To(Equal(s.Spec.ScaleTargetRef.Kind))
			Expect(w.replicas).To(BeNil(), "%s: applying it again would undo the autoscaler", w.name)
			if w.kind == "StatefulSet" {
				Expect(s.Spec.Behavior.ScaleDown.SelectPolicy).To(HaveValue(Equal(autoscalingv2.DisabledPolicySelect)), w.name)
			}
		}
	})

	It("spreads replicas over nodes if possible, and in production always", func() {
		for overlay, want := range map[string]corev1.UnsatisfiableConstraintAction{
			"kind": corev1.ScheduleAnyway, "production": corev1.DoNotSchedule,
		} {
			d := build(overlay)
			for _, w := range d.workloads() {
				if w.name == "postgres" {
					continue
				}
				Expect(w.template.Spec.TopologySpreadConstraints).To(HaveLen(1), "%s of %s", w.name, overlay)
				spread := w.template.Spec.TopologySpreadConstraints[0]
				Expect(spread.WhenUnsatisfiable).To(Equal(want), "%s of %s", w.name, overlay)
				Expect(d.selected(selector(spread.LabelSelector))).To(HaveLen(1), "%s of %s", w.name, overlay)
			}
		}
	})
})

func selector(s *metav1.LabelSelector) labels.Selector {
	GinkgoHelper()
	converted, err := metav1.LabelSelectorAsSelector(s)
	Expect(err).NotTo(HaveOccurred())
	return converted
}

// expectMemoryForGo expects GOMEMLIMIT, if it is set, to leave a part of the
// container's limit for memory outside of Go's heap.
func expectMemoryForGo(what string, c *corev1.Container) {
	GinkgoHelper()
	for _, e := range c.Env {
		if e.Name != "GOMEMLIMIT" {
			continue
		}
		heap, err := resource.ParseQuantity(strings.TrimSuffix(e.Value, "B"))
		Expect(err).NotTo(HaveOccurred(), what)
		share := float64(heap.Value()) / float64(c.Resources.Limits.Memory().Value())
		Expect(share).To(And(BeNumerically(">", 0.8), BeNumerically("<", 0.95)), "%s: GOMEMLIMIT and the limit", what)
	}
}

func expectPolicyToMatch(d deployment, p *networkingv1.NetworkPolicy) {
	GinkgoHelper()
	chosen := d.selected(selector(&p.Spec.PodSelector))
	if p.Name != "spool-adopter" { // of a Job that people run, see docs/troubleshooting.md
		Expect(chosen).NotTo(BeEmpty(), "network policy %s", p.Name)
	}
	expectPeer := func(peers []networkingv1.NetworkPolicyPeer) {
		for _, peer := range peers {
			if peer.NamespaceSelector == nil && peer.PodSelector != nil {
				Expect(d.selected(selector(peer.PodSelector))).NotTo(BeEmpty(), "a peer in network policy %s", p.Name)
			}
		}
	}
	expectPorts := func(ports []networkingv1.NetworkPolicyPort, of []workload) {
		for _, port := range ports {
			if port.Port == nil || port.Port.Type == intstr.Int {
				continue
			}
			for _, w := range of {
				Expect(w.ports()).To(ContainElement(port.Port.StrVal), "network policy %s", p.Name)
			}
		}
	}
	for _, rule := range p.Spec.Ingress {
		expectPeer(rule.From)
		expectPorts(rule.Ports, chosen)
	}
	for _, rule := range p.Spec.Egress {
		expectPeer(rule.To)
		for _, peer := range rule.To {
			if peer.PodSelector != nil && peer.NamespaceSelector == nil {
				expectPorts(rule.Ports, d.selected(selector(peer.PodSelector)))
			}
		}
	}
}

func expectMonitorToMatch(d deployment, monitor *unstructured.Unstructured) {
	GinkgoHelper()
	chosen, _, err := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
	Expect(err).NotTo(HaveOccurred())
	pods := d.selected(labels.SelectorFromSet(chosen))
	Expect(pods).NotTo(BeEmpty())
	endpoints, _, err := unstructured.NestedSlice(monitor.Object, "spec", "podMetricsEndpoints")
	Expect(err).NotTo(HaveOccurred())
	Expect(endpoints).NotTo(BeEmpty())
	for _, e := range endpoints {
		for _, w := range pods {
			Expect(w.ports()).To(ContainElement(e.(map[string]any)["port"]), "pod monitor %s", monitor.GetName())
		}
	}
}
