//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// exporterPod are the labels that kube-state-metrics' own pod leaves on every alert.
func exporterPod(own map[string]string) map[string]string {
	labels := map[string]string{
		"job": "kube-state-metrics", "pod": "kps-kube-state-metrics-6b5b7c9d8f-q2w4e", "container": "kube-state-metrics",
		"service": "kps-kube-state-metrics", "endpoint": "http", "instance": "10.42.0.17:8080", "severity": "warning",
	}
	maps.Copy(labels, own)
	return labels
}

// fieldBody is a body as a sender of the field sends it.
func targetBody(name string) []byte {
	GinkgoHelper()
	body, err := os.ReadFile(filepath.Join("..", "..", "services", "gateway", "internal", "target", "trial", "testdata", "bodies", name))
	Expect(err).NotTo(HaveOccurred())
	return body
}

var _ = Describe("gateway: targets", func() {
	var p *testenv.Pipeline

	start := func(ctx SpecContext, change func(*gateway.Options)) {
		GinkgoHelper()
		var err error
		p, err = env.NewPipeline(ctx, testenv.PipelineOptions{Gateway: change})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(p.Stop()).To(Succeed()) })
	}

	// targets sends a body and returns the targets of the requests, in its order.
	targets := func(ctx SpecContext, body []byte) []v1alpha1.TargetResource {
		GinkgoHelper()
		answer := post(ctx, p.GatewayURL, body)
		Expect(answer.Code).To(BeElementOf(http.StatusCreated, http.StatusMultiStatus), "%+v", answer)
		results := answer.Each()
		found := make([]v1alpha1.TargetResource, 0, len(results))
		for _, r := range results {
			Expect(r.Status).To(Equal("created"), "%+v", r)
			rr := &v1alpha1.RemediationRequest{}
			Expect(env.Get(ctx, client.ObjectKey{Namespace: r.RemediationRequestNamespace, Name: r.RemediationRequestName}, rr)).To(Succeed())
			found = append(found, rr.Spec.TargetResource)
		}
		return found
	}

	targetOf := func(ctx SpecContext, labels map[string]string) v1alpha1.TargetResource {
		GinkgoHelper()
		labels["alertname"] = "Alert-" + env.CorrelationID()
		found := targets(ctx, alertBody(alertmanager.Firing, labels))
		Expect(found).To(HaveLen(1))
		return found[0]
	}

	It("field S1: the exporter's pod is not the target, and two Deployments make two requests", func(ctx SpecContext) {
		start(ctx, nil)
		deployment := func(name string) map[string]string {
			return exporterPod(map[string]string{"alertname": "KubeDeploymentReplicasMismatch", "namespace": p.Namespace, "deployment": name})
		}
		Expect(targets(ctx, alertBody(alertmanager.Firing, deployment("cart"), deployment("checkout")))).To(Equal([]v1alpha1.TargetResource{
			{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.Namespace, Name: "cart"},
			{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.Namespace, Name: "checkout"},
		}))
		Expect(targets(ctx, targetBody("hpa-maxed-exporter-pod.json"))).To(ConsistOf(
			v1alpha1.TargetResource{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: "frontend"}))
		Expect(targets(ctx, targetBody("quota-exporter-pod.json"))).To(ConsistOf(
			v1alpha1.TargetResource{APIVersion: "v1", Kind: "ResourceQuota", Namespace: "shop", Name: "shop-quota"}))
	}, SpecTimeout(specTimeout))

	It("field S2: an alert of an agent is about its node", func(ctx SpecContext) {
		start(ctx, nil)
		address := fmt.Sprintf("10.%d.%d.%d", 128+rand.IntN(100), rand.IntN(256), 1+rand.IntN(254))
		node := func(addresses ...corev1.NodeAddress) string {
			GinkgoHelper()
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("node-*")}}
			Expect(env.Create(ctx, n)).To(Succeed())
			n.Status.Addresses = addresses
			Expect(env.Status().Update(ctx, n)).To(Succeed())
			return n.Name
		}
		pod := func(nodeName string) string {
			GinkgoHelper()
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: testenv.Unique("node-exporter-*")},
				Spec:       corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			}
			Expect(env.Create(ctx, pod)).To(Succeed())
			return pod.Name
		}
		agent := func(own map[string]string) map[string]string {
			labels := map[string]string{
				"job": "node-exporter", "namespace": p.Namespace, "pod": "node-exporter-gone", "instance": "192.0.2.1:9100",
				"service": "node-exporter", "mountpoint": "/var", "severity": "critical",
			}
			maps.Copy(labels, own)
			return labels
		}
		first, second, third, fourth := node(), node(), node(), node(corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address})
		for want, labels := range map[string]map[string]string{
			first:  {"nodename": first},
			second: {"instance": second + ":9100"},
			third:  {"pod": pod(third), "nodename": "no-such-node"},
			fourth: {"instance": address + ":9100"},
		} {
			Expect(targetOf(ctx, agent(labels))).To(Equal(v1alpha1.TargetResource{APIVersion: "v1", Kind: "Node", Name: want}))
		}
		Expect(targetOf(ctx, agent(nil)).Kind).To(Equal("Unknown"), "the pod is gone, and no node has the address")

		By("sending one body about two nodes")
		alert := func(name string) map[string]string {
			return agent(map[string]string{"alertname": "NodeFilesystemAlmostOutOfSpace", "nodename": name})
		}
		Expect(targets(ctx, alertBody(alertmanager.Firing, alert(first), alert(second)))).To(HaveExactElements(
			HaveField("Name", first), HaveField("Name", second)))
	}, SpecTimeout(specTimeout))

	It("field S3: exported and OpenTelemetry labels name other namespaces only for trusted exporters", func(ctx SpecContext) {
		start(ctx, nil)
		reported := func(job, namespace string) v1alpha1.TargetResource {
			GinkgoHelper()
			labels := map[string]string{
				"namespace": namespace, "exported_namespace": "payments", "exported_pod": "db-0", "pod": "exporter-1", "severity": "warning",
			}
			if job != "" {
				labels["job"] = job
			}
			return targetOf(ctx, labels)
		}
		Expect(reported("kube-state-metrics", "monitoring")).To(Equal(
			v1alpha1.TargetResource{APIVersion: "v1", Kind: "Pod", Namespace: "payments", Name: "db-0"}))
		for _, untrusted := range [][2]string{{"kube-state-metrics", p.Namespace}, {"inventory", "monitoring"}, {"", "monitoring"}} {
			found := reported(untrusted[0], untrusted[1])
			Expect(found.Kind).To(Equal("Unknown"), "%q", untrusted)
			Expect(found.Namespace).To(Equal(untrusted[1]))
		}
		Expect(reported("inventory", "payments").Name).To(Equal("db-0"), "in its own namespace any job counts")

		Expect(targets(ctx, targetBody("otel-dotted-labels.json"))).To(ConsistOf(HaveField("Kind", "Unknown")), "no label namespace")
		Expect(targetOf(ctx, map[string]string{
			"namespace": "shop", "k8s.namespace.name": "shop", "k8s.pod.name": "checkout-1", "k8s.deployment.name": "checkout", "severity": "warning",
		})).To(Equal(v1alpha1.TargetResource{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "checkout-1"}))
	}, SpecTimeout(specTimeout))

	It("field S5: a changed ConfigMap of rules is in force within 10 s, and a bad one is rejected with its place", func(ctx SpecContext) {
		const name = "target-rules"
		start(ctx, func(o *gateway.Options) { o.TargetRulesConfigMap = name })
		alert := func() map[string]string {
			return map[string]string{"namespace": p.Namespace, "queue": "orders", "severity": "warning"}
		}
		Expect(targetOf(ctx, alert()).Kind).To(Equal("Unknown"))
		inForce := func(metric, value string) {
			GinkgoHelper()
			Eventually(ctx, func(ctx context.Context) string {
				return string(storeCall(ctx, p.ManagementURLs[0], http.MethodGet, "/metrics", nil, nil).body)
			}).WithTimeout(10 * time.Second).WithPolling(100 * time.Millisecond).Should(ContainSubstring(metric + " " + value + "\n"))
		}

		By("creating it")
		rules := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: name},
			Data:       map[string]string{"rules.yaml": "rules:\n- name: queue\n  target: object(\"Deployment\", labels.queue + \"-worker\")\n"},
		}
		Expect(env.Create(ctx, rules)).To(Succeed())
		inForce(`gateway_target_rules_loads_total{result="accepted"}`, "1")
		Expect(targetOf(ctx, alert())).To(Equal(
			v1alpha1.TargetResource{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.Namespace, Name: "orders-worker"}))

		By("breaking it")
		good := rules.Data["rules.yaml"]
		rules.Data["rules.yaml"] = strings.Replace(good, "labels.queue", "labels.queue + 1", 1)
		Expect(env.Update(ctx, rules)).To(Succeed())
		inForce("gateway_target_rules_rejected", "1")
		Expect(targetOf(ctx, alert()).Name).To(Equal("orders-worker"), "the old one stays in force")
		var events corev1.EventList
		Eventually(ctx, func(ctx context.Context) []corev1.Event {
			Expect(env.List(ctx, &events, client.InNamespace(p.Namespace))).To(Succeed())
			return events.Items
		}).Should(ContainElement(And(
			HaveField("InvolvedObject.Name", name), HaveField("Reason", "TargetRulesRejected"),
			HaveField("Message", ContainSubstring("line 3, column 45: queue: found no matching overload for '_+_'")),
		)))

		By("repairing it, and removing it")
		rules.Data["rules.yaml"] = strings.Replace(good, "-worker", "-consumer", 1)
		Expect(env.Update(ctx, rules)).To(Succeed())
		inForce("gateway_target_rules_rejected", "0")
		Expect(targetOf(ctx, alert()).Name).To(Equal("orders-consumer"))
		Expect(env.Delete(ctx, rules)).To(Succeed())
		inForce(`gateway_target_rules_loads_total{result="removed"}`, "1")
		Expect(targetOf(ctx, alert()).Kind).To(Equal("Unknown"))
	}, SpecTimeout(specTimeout))

	It("field S6: targets are of any kind that the cluster serves, named from the labels where it may not be read", func(ctx SpecContext) {
		kind := newCustomKind(ctx)
		read := &readPaths{}
		start(ctx, func(o *gateway.Options) { o.RESTConfig = read.config(o.RESTConfig) })

		By("alerting about every kind of the field")
		found := targets(ctx, targetBody("kinds.json"))
		kinds := make([]string, len(found))
		for i, t := range found {
			kinds[i] = t.Kind
		}
		Expect(kinds).To(Equal([]string{
			"Node", "PersistentVolumeClaim", "PersistentVolume", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet",
			"PodDisruptionBudget", "Service", "Ingress", "ResourceQuota", "Namespace", "Unknown", "Unknown",
		}), "the cluster has no kind Rollout, and an endpoint is a port")

		By("alerting about a custom resource, and about a pod that it controls")
		owner := kind.create(ctx, p.Namespace, "web")
		want := v1alpha1.TargetResource{APIVersion: kind.version(), Kind: kind.name, Namespace: p.Namespace, Name: "web"}
		Expect(targetOf(ctx, map[string]string{"namespace": p.Namespace, kind.singular(): "web", "severity": "warning"})).To(Equal(want))
		Expect(targetOf(ctx, map[string]string{"namespace": p.Namespace, kind.singular(): "none", "pod": "p", "severity": "warning"}).Kind).To(Equal("Pod"))
		Expect(targetOf(ctx, exporterPod(map[string]string{
			"namespace": p.Namespace, "customresource_group": kind.group, "customresource_kind": kind.name, "name": "web",
		}))).To(Equal(want))
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: "web-1", OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(owner, owner.GroupVersionKind()),
			}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		Expect(env.Create(ctx, pod)).To(Succeed())
		alert := map[string]string{"alertname": "Alert-" + env.CorrelationID(), "namespace": p.Namespace, kind.singular(): "web"}
		first := post(ctx, p.GatewayURL, alertBody(alertmanager.Firing, alert))
		delete(alert, kind.singular())
		alert["pod"] = "web-1"
		second := post(ctx, p.GatewayURL, alertBody(alertmanager.Firing, alert))
		Expect(second.RemediationRequestName).To(Equal(first.RemediationRequestName), "the custom resource is the pod's owner")

		By("alerting about a Secret and a ConfigMap")
		Expect(targetOf(ctx, exporterPod(map[string]string{"namespace": p.Namespace, "secret": "s"})).Kind).To(Equal("Secret"))
		Expect(targetOf(ctx, exporterPod(map[string]string{"namespace": p.Namespace, "configmap": "c"})).Kind).To(Equal("ConfigMap"))
		Expect(read.paths()).NotTo(ContainElement(Or(ContainSubstring("/secrets"), ContainSubstring("/configmaps"))))

		By("alerting about it without the right to read it")
		Expect(p.Stop()).To(Succeed())
		start(ctx, func(o *gateway.Options) { o.RESTConfig = kind.without(ctx, o.RESTConfig) })
		want.Namespace = p.Namespace
		Expect(targetOf(ctx, map[string]string{"namespace": p.Namespace, kind.singular(): "web", "severity": "warning"})).To(Equal(want))
	}, SpecTimeout(specTimeout))
})

// customKind is a custom resource definition that no other spec uses.
type customKind struct{ group, name string }

// newCustomKind creates one, and waits until discovery lists it.
func newCustomKind(ctx context.Context) customKind {
	GinkgoHelper()
	id := strings.ReplaceAll(testenv.Unique("*"), "-", "")
	k := customKind{group: id + ".example.com", name: "Shop" + id}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": k.plural() + "." + k.group},
		"spec": map[string]any{
			"group": k.group, "scope": "Namespaced",
			"names": map[string]any{"kind": k.name, "plural": k.plural(), "singular": k.singular()},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}
	Expect(env.Create(ctx, definition)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, definition)).To(Succeed()) })
	served, err := discovery.NewDiscoveryClientForConfig(env.Config)
	Expect(err).NotTo(HaveOccurred())
	Eventually(ctx, func() bool {
		lists, err := served.ServerPreferredResources()
		return err == nil && slices.ContainsFunc(lists, func(l *metav1.APIResourceList) bool { return l.GroupVersion == k.version() })
	}).Should(BeTrue())
	return k
}

func (k customKind) version() string  { return k.group + "/v1" }
func (k customKind) singular() string { return strings.ToLower(k.name) }
func (k customKind) plural() string   { return k.singular() + "s" }

func (k customKind) create(ctx context.Context, namespace, name string) *unstructured.Unstructured {
	GinkgoHelper()
	object := &unstructured.Unstructured{}
	object.SetAPIVersion(k.version())
	object.SetKind(k.name)
	object.SetNamespace(namespace)
	object.SetName(name)
	Expect(env.Create(ctx, object)).To(Succeed())
	return object
}

// without is the configuration of a user who may do everything but read the kind.
func (k customKind) without(ctx context.Context, config *rest.Config) *rest.Config {
	GinkgoHelper()
	name := "without-" + k.singular()
	Expect(env.Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "coordination.k8s.io", v1alpha1.GroupVersion.Group},
			Resources: []string{"*"}, Verbs: []string{"*"},
		}},
	})).To(Succeed())
	Expect(env.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}},
	})).To(Succeed())
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{UserName: name}
	return as
}

// readPaths notes the paths that a client reads.
type readPaths struct {
	mu   sync.Mutex
	seen []string // guarded by mu
}

func (r *readPaths) config(config *rest.Config) *rest.Config {
	noting := rest.CopyConfig(config)
	noting.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.Method == http.MethodGet {
				r.mu.Lock()
				r.seen = append(r.seen, request.URL.Path)
				r.mu.Unlock()
			}
			return next.RoundTrip(request)
		})
	})
	return noting
}

func (r *readPaths) paths() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}
