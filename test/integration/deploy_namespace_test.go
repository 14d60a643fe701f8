//go:build integration

package integration_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// ownOverlay is what README.md shows: an overlay over production in another namespace, with a patch.
const ownOverlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: NAMESPACE
transformers:
- ../../namespace
resources:
- ../production
components:
- ../../components/event-watch
patches:
- patch: |-
    apiVersion: apps/v1
    kind: StatefulSet
    metadata:
      name: gateway
    spec:
      template:
        spec:
          containers:
          - name: gateway
            env:
            - {name: GATEWAY_COOL_DOWN, value: 10m}
`

// ownWorkflows is what README.md shows: workflows in another namespace, and access for a platform in another one.
const ownWorkflows = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: WORKFLOWS
resources:
- ../workflows
- ../workflows-access
patches:
- target: {kind: RoleBinding, name: workflowexecution}
  patch: |-
    - {op: replace, path: /subjects/0/namespace, value: PLATFORM}
`

// expectAccess expects the platform's rights among the workflows.
func expectAccess(d deployment, workflows, platform string) {
	GinkgoHelper()
	for _, u := range d {
		Expect(u.GetNamespace()).To(Equal(workflows), u.GetName())
	}
	Expect(d.names("Role")).To(Equal([]string{"workflowexecution"}))
	bindings := typed[rbacv1.RoleBinding](d, "RoleBinding")
	Expect(bindings).To(HaveLen(1))
	Expect(bindings[0].Subjects).To(ConsistOf(rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: platform, Name: "workflowexecution"}))
}

// copyKustomizations returns a copy that a spec may edit.
func copyKustomizations() string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	for _, part := range []string{filepath.Join("deploy", "kustomize"), filepath.Join("api", "crds"), filepath.Join("api", "admission")} {
		Expect(os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("..", "..", part)))).To(Succeed())
	}
	return filepath.Join(dir, "deploy", "kustomize")
}

// setNamespace does what `kustomize edit set namespace` does.
func setNamespace(dir, namespace string) {
	GinkgoHelper()
	path := filepath.Join(dir, "kustomization.yaml")
	content, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	var fields map[string]any
	Expect(yaml.Unmarshal(content, &fields)).To(Succeed())
	Expect(fields).To(HaveKey("namespace"))
	fields["namespace"] = namespace
	content, err = yaml.Marshal(fields)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
}

// service returns a Service, which must exist.
func (d deployment) service(name string) *corev1.Service {
	GinkgoHelper()
	services := typed[corev1.Service](d, "Service")
	i := slices.IndexFunc(services, func(s *corev1.Service) bool { return s.Name == name })
	Expect(i).NotTo(Equal(-1), "no Service %s", name)
	return services[i]
}

// expectNoNamespaceBut expects every namespaced object to be in a namespace, and no object to mention the default one.
func expectNoNamespaceBut(d deployment, namespace string) {
	GinkgoHelper()
	for _, u := range d {
		what := u.GetKind() + " " + u.GetName()
		content, err := json.Marshal(u)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(content)).NotTo(ContainSubstring(deployNamespace), what)
		mapping, err := env.RESTMapper().RESTMapping(u.GroupVersionKind().GroupKind(), u.GroupVersionKind().Version)
		Expect(err).NotTo(HaveOccurred(), what)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			Expect(u.GetNamespace()).To(Equal(namespace), what)
		}
	}
	Expect(d.names("Namespace")).To(Equal([]string{namespace}))
}

var hosts = regexp.MustCompile(`https?://[a-z0-9.-]+:\d+`)

// expectReferencesToResolve expects what an overlay names to exist in it, or in the kustomization of the cluster.
func expectReferencesToResolve(d deployment, namespace string) {
	GinkgoHelper()
	provided := d.provided()
	bindings := typed[rbacv1.RoleBinding](d, "RoleBinding", "ClusterRoleBinding")
	Expect(bindings).NotTo(BeEmpty())
	for _, binding := range bindings {
		Expect(provided).To(HaveKey(binding.RoleRef.Kind+"/"+binding.RoleRef.Name), binding.Name)
		for _, subject := range binding.Subjects {
			Expect(provided).To(HaveKey(subject.Kind+"/"+subject.Name), binding.Name)
			Expect(subject.Namespace).To(Equal(namespace), binding.Name)
		}
	}
	for _, u := range d {
		switch u.GetKind() {
		case "Certificate":
			names, _, err := unstructured.NestedStringSlice(u.Object, "spec", "dnsNames")
			Expect(err).NotTo(HaveOccurred())
			if authority, _, _ := unstructured.NestedBool(u.Object, "spec", "isCA"); authority {
				continue
			}
			full := d.service(names[0]).Name + "." + namespace
			Expect(names).To(HaveExactElements(names[0], full, full+".svc", full+".svc.cluster.local"))
		case "APIService":
			name, _, err := unstructured.NestedString(u.Object, "spec", "service", "name")
			Expect(err).NotTo(HaveOccurred())
			d.service(name)
			of, _, err := unstructured.NestedString(u.Object, "spec", "service", "namespace")
			Expect(err).NotTo(HaveOccurred())
			Expect(of).To(Equal(namespace))
		case "ConfigMap", "Deployment", "StatefulSet":
			content, err := json.Marshal(u)
			Expect(err).NotTo(HaveOccurred())
			for _, found := range hosts.FindAllString(string(content), -1) {
				parsed, err := url.Parse(found)
				Expect(err).NotTo(HaveOccurred())
				labels := strings.SplitN(parsed.Hostname(), ".", 3)
				if labels[0] == "127" {
					continue
				}
				service := d.service(labels[0])
				Expect(len(labels) == 1 || labels[1] == namespace).To(BeTrue(), found)
				port, err := strconv.Atoi(parsed.Port())
				Expect(err).NotTo(HaveOccurred())
				Expect(slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return int(p.Port) == port })).To(BeTrue(), found)
			}
		}
	}
	for _, w := range d.workloads() {
		for name := range given(&w.template.Spec) {
			if name != "Secret/datastorage-database" { // made by people, except for trials
				Expect(provided).To(HaveKey(name), w.name)
			}
		}
		for _, c := range w.containers() {
			for _, e := range c.Env {
				if strings.HasSuffix(e.Name, "_NAMESPACE") {
					Expect(e.ValueFrom).NotTo(BeNil(), "%s: %s is written, not derived", w.name, e.Name)
					Expect(e.ValueFrom.FieldRef.FieldPath).To(Equal("metadata.namespace"))
				}
			}
		}
	}
}

var _ = Describe("deployment: another namespace", func() {
	for _, overlay := range append(slices.Clone(overlays), "own") {
		It("field C21: `kustomize edit set namespace` moves the platform, with all that refers to it ("+overlay+")", func(ctx SpecContext) {
			if overlay == "production" || overlay == "own" {
				installForeign(ctx)
			}
			copied, namespace := copyKustomizations(), "ns-"+env.CorrelationID()
			dir := filepath.Join(copied, "overlays", overlay)
			if overlay == "own" {
				Expect(os.Mkdir(dir, 0o700)).To(Succeed())
				Expect(os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(ownOverlay), 0o600)).To(Succeed())
			}
			setNamespace(dir, namespace)
			platform := kustomize(dir)
			expectNoNamespaceBut(platform, namespace)
			expectReferencesToResolve(slices.Concat(platform, kustomize(filepath.Join(copied, "cluster"))), namespace)
			if overlay == "own" {
				Expect(platform.workload("gateway").template.Spec.Containers[0].Env).To(ContainElement(corev1.EnvVar{Name: "GATEWAY_COOL_DOWN", Value: "10m"}))
			}

			a := newApplier()
			a.applyNamespace(ctx, platform)
			for _, u := range platform {
				Expect(a.apply(ctx, u, metav1.DryRunAll)).To(Succeed(), "%s %s", u.GetKind(), u.GetName())
			}
			Expect(a.warnings).To(BeEmpty())
		}, SpecTimeout(specTimeout))
	}

	It("field C21: the kustomization of the cluster has nothing that is in a namespace, or names one", func() {
		for _, u := range kustomize(filepath.Join(kustomizations, "cluster")) {
			Expect(u.GetNamespace()).To(BeEmpty(), "%s %s", u.GetKind(), u.GetName())
			content, err := json.Marshal(u)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(content)).NotTo(ContainSubstring(deployNamespace), "%s %s", u.GetKind(), u.GetName())
		}
		for _, overlay := range overlays {
			platform := kustomize(filepath.Join(kustomizations, "overlays", overlay))
			Expect(platform.names("ClusterRole")).To(BeEmpty())
			Expect(platform.names("CustomResourceDefinition")).To(BeEmpty(), "deleting the platform would delete every request")
		}
	})

	It("field C21: `kustomize edit set namespace` moves what the platform may do with workflows, and its subject", func() {
		dir, workflows, platform := filepath.Join(copyKustomizations(), "workflows-access"), "workflows-"+env.CorrelationID(), "ns-"+env.CorrelationID()
		setNamespace(dir, workflows)
		setNamespace(filepath.Join(dir, "platform"), platform)
		expectAccess(kustomize(dir), workflows, platform)
	})

	It("field C21: an overlay of one's own moves workflows to another namespace, and all that refers to it", func(ctx SpecContext) {
		copied, workflows, platform := copyKustomizations(), "workflows-"+env.CorrelationID(), "ns-"+env.CorrelationID()
		dir := filepath.Join(copied, "own")
		Expect(os.Mkdir(dir, 0o700)).To(Succeed())
		text := strings.NewReplacer("WORKFLOWS", workflows, "PLATFORM", platform).Replace(ownWorkflows)
		Expect(os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600)).To(Succeed())
		d, a := kustomize(dir), newApplier()
		a.applyNamespace(ctx, d)
		for _, u := range d {
			content, err := json.Marshal(u)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(content)).NotTo(ContainSubstring(workflowsNamespace), "%s %s", u.GetKind(), u.GetName())
			Expect(a.apply(ctx, u, metav1.DryRunAll)).To(Succeed(), "%s %s", u.GetKind(), u.GetName())
		}
		Expect(d.names("Namespace")).To(Equal([]string{workflows}))
		expectAccess(slices.DeleteFunc(slices.Clone(d), func(u *unstructured.Unstructured) bool { return u.GetName() != "workflowexecution" }), workflows, platform)
	}, SpecTimeout(specTimeout))

	It("field C21: workflows have a namespace of their own, which confines them", func(ctx SpecContext) {
		dir, namespace := filepath.Join(copyKustomizations(), "workflows"), "ns-"+env.CorrelationID()
		Expect(kustomize(dir).names("Namespace")).To(Equal([]string{"kubernaut-workflows"}))
		setNamespace(dir, namespace)
		d, a := kustomize(dir), newApplier()
		expectNoNamespaceBut(d, namespace)
		Expect(d).To(HaveLen(3+3+4*4+1), "its confinement, the probe of admission, four workflows with an account, a role and a binding each, and the traffic of the Job's pod")
		for _, u := range d {
			Expect(a.apply(ctx, u)).To(Succeed(), "%s %s", u.GetKind(), u.GetName())
		}
		Expect(a.warnings).To(BeEmpty())

		policies := typed[networkingv1.NetworkPolicy](d, "NetworkPolicy")
		i := slices.IndexFunc(policies, func(p *networkingv1.NetworkPolicy) bool { return p.Name == "default-deny" })
		Expect(i).To(BeNumerically(">=", 0))
		Expect(policies[i].Spec).To(Equal(networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		}), "every pod, no exceptions")
		for _, p := range policies {
			if p.Name != "default-deny" {
				Expect(p.Spec.PodSelector.MatchLabels).To(HaveKeyWithValue("kubernaut.ai/workflow", p.Name), "only the pods of one workflow")
			}
		}

		quotas := typed[corev1.ResourceQuota](d, "ResourceQuota")
		Expect(quotas).To(HaveLen(1))
		Expect(quotas[0].Spec.Hard).To(And(HaveKey(corev1.ResourcePods), HaveKey(corev1.ResourceLimitsMemory), HaveKey(corev1.ResourceName("count/jobs.batch"))))

		privileged := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "privileged"},
			Spec: corev1.PodSpec{
				AutomountServiceAccountToken: new(false),
				Containers: []corev1.Container{{
					Name: "c", Image: "localhost/c", SecurityContext: &corev1.SecurityContext{Privileged: new(true)},
				}},
			},
		}
		err := env.Create(ctx, privileged, client.DryRunAll)
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring("PodSecurity")))
	}, SpecTimeout(specTimeout))
})
