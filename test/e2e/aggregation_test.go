//go:build e2e

package e2e_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"kubernaut.ai/test/testenv"
)

// Serial, because an API group without a server delays discovery and the deletion of
// namespaces for everybody.
var _ = Describe("aggregation layer", Serial, func() {
	It("field C16: with no DataStorage ready namespaces stay in deletion and discovery fails for the group; both recover", func(ctx SpecContext) {
		objects, err := dynamic.NewForConfig(env.Config)
		Expect(err).NotTo(HaveOccurred())
		registrations := objects.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
		healthy := discoveryTime()
		replaced := existing(ctx, registrations)

		By("registering the group for a Service that has no ready pod")
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "datastorage-not-ready"},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"app.kubernetes.io/name": testenv.Unique("nobody-*")},
				Ports:    []corev1.ServicePort{{Name: "aggregated", Port: 443}},
			},
		}
		Expect(env.Create(ctx, service)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, service)).To(Succeed()) })
		_, err = registrations.Create(ctx, registration(service), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		registered := true
		unregister := func(ctx context.Context) {
			GinkgoHelper()
			if registered {
				Expect(registrations.Delete(ctx, "v1.audit.kubernaut.ai", metav1.DeleteOptions{})).To(Succeed())
				registered = false
				restore(ctx, registrations, replaced)
			}
		}
		DeferCleanup(func(ctx SpecContext) { unregister(ctx) })
		awaitRegistration(ctx, registrations, "False")

		By("deleting a namespace")
		namespace, err := env.Kubernetes.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("deleted-*")},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		watched, err := env.Kubernetes.CoreV1().Namespaces().Watch(ctx, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", namespace.Name).String(), ResourceVersion: namespace.ResourceVersion,
		})
		Expect(err).NotTo(HaveOccurred())
		defer watched.Stop()
		Expect(env.Kubernetes.CoreV1().Namespaces().Delete(ctx, namespace.Name, metav1.DeleteOptions{})).To(Succeed())
		deleted := time.Now()
		blocked := false
		for !blocked {
			event, open := <-watched.ResultChan()
			Expect(open).To(BeTrue(), "the watch ended")
			seen, ok := event.Object.(*corev1.Namespace)
			Expect(ok).To(BeTrue())
			Expect(string(event.Type)).NotTo(Equal("DELETED"), "the deletion was not blocked")
			for _, condition := range seen.Status.Conditions {
				blocked = blocked || condition.Type == corev1.NamespaceDeletionDiscoveryFailure && condition.Status == corev1.ConditionTrue
			}
		}
		AddReportEntry("condition NamespaceDeletionDiscoveryFailure after", time.Since(deleted).Round(time.Millisecond).String())

		broken := discoveryTime()
		AddReportEntry("discovery of all groups", "healthy "+healthy.String()+", with an unavailable group "+broken.String())

		By("removing the registration, as the runbook says for a cluster that must not wait")
		unregister(ctx)
		for event := range watched.ResultChan() {
			if event.Type == "DELETED" {
				AddReportEntry("the namespace was gone after", time.Since(deleted).Round(time.Millisecond).String())
				return
			}
		}
		Fail("the watch ended before the namespace was gone")
	}, SpecTimeout(5*time.Minute))
})

// existing takes away the registration of a cluster whose group is served, and
// returns it; nil if there is none.
func existing(ctx context.Context, registrations dynamic.ResourceInterface) *unstructured.Unstructured {
	GinkgoHelper()
	found, err := registrations.Get(ctx, "v1.audit.kubernaut.ai", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	Expect(err).NotTo(HaveOccurred())
	Expect(registrations.Delete(ctx, found.GetName(), metav1.DeleteOptions{})).To(Succeed())
	return found
}

func restore(ctx context.Context, registrations dynamic.ResourceInterface, replaced *unstructured.Unstructured) {
	GinkgoHelper()
	if replaced == nil {
		return
	}
	again := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": replaced.GetAPIVersion(), "kind": replaced.GetKind(), "spec": replaced.Object["spec"],
		"metadata": map[string]any{"name": replaced.GetName()},
	}}
	again.SetLabels(replaced.GetLabels())
	again.SetAnnotations(replaced.GetAnnotations())
	_, err := registrations.Create(ctx, again, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	awaitRegistration(ctx, registrations, "True")
}

// discoveryTime is how long a client needs that knows nothing yet. A group that is
// unavailable is an error that the client reports, and no failure here.
func discoveryTime() time.Duration {
	GinkgoHelper()
	client, err := discovery.NewDiscoveryClientForConfig(env.Config)
	Expect(err).NotTo(HaveOccurred())
	start := time.Now()
	_, _, err = client.ServerGroupsAndResources()
	if err != nil {
		Expect(discovery.IsGroupDiscoveryFailedError(err)).To(BeTrue(), "%v", err)
	}
	return time.Since(start).Round(time.Millisecond)
}

func registration(service *corev1.Service) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": "v1.audit.kubernaut.ai"},
		"spec": map[string]any{
			"group": "audit.kubernaut.ai", "version": "v1", "groupPriorityMinimum": int64(1000), "versionPriority": int64(15),
			"service": map[string]any{"namespace": service.Namespace, "name": service.Name, "port": int64(443)},
		},
	}}
}

// awaitRegistration returns once the APIService is available, or is not.
func awaitRegistration(ctx context.Context, registrations dynamic.ResourceInterface, status string) {
	GinkgoHelper()
	watched, err := registrations.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=v1.audit.kubernaut.ai"})
	Expect(err).NotTo(HaveOccurred())
	defer watched.Stop()
	for event := range watched.ResultChan() {
		object, ok := event.Object.(*unstructured.Unstructured)
		Expect(ok).To(BeTrue())
		conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
		Expect(err).NotTo(HaveOccurred())
		for _, condition := range conditions {
			if c, ok := condition.(map[string]any); ok && c["type"] == "Available" && c["status"] == status {
				return
			}
		}
	}
	Fail("the watch ended")
}
