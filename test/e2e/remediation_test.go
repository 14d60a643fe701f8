//go:build e2e

package e2e_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"kubernaut.ai/api/v1alpha1"
)

var _ = Describe("remediation", func() {
	It("rolls a Deployment back whose new image does not exist, once a person has approved by kubectl", func(ctx SpecContext) {
		r := startRollback(ctx, allowRemediation(ctx, env.Namespace), startAlertmanager(ctx), env.Namespace)
		Expect(r.wfe.Spec.Workflow.Name).To(Equal(r.workflow.Name))
		Expect(r.wfe.Spec.Change).To(SatisfyAll(ContainSubstring("does-not-exist"), ContainSubstring(r.works)))

		By("approving with the person's credentials")
		r.approve(ctx)
		r.reached(ctx, v1alpha1.ExecutionVerifying)
		awaitAvailable(ctx, r.deployment, 1)

		By("resolving the alert")
		r.resolve(ctx)
		r.expectOneChange(ctx, r.completed(ctx))
	}, SpecTimeout(remediationTimeout))

	It("deletes finished Jobs by a Job with the workflow's account, once a person has approved by kubectl", func(ctx SpecContext) {
		c := startCleanup(ctx, allowRemediation(ctx, env.Namespace), startAlertmanager(ctx), env.Namespace)
		c.approve(ctx)
		c.created(ctx)
		c.reached(ctx, v1alpha1.ExecutionVerifying)
		c.resolve(ctx)
		c.expectOneJob(ctx, c.completed(ctx))
	}, SpecTimeout(remediationTimeout))

	It("lets a namespace go within a minute that has executions, one of them with a Job, and approvals", func(ctx SpecContext) {
		namespace, err := env.NewNamespace(ctx)
		Expect(err).NotTo(HaveOccurred())
		person, sender := allowRemediation(ctx, namespace), startAlertmanager(ctx)
		r, c := startRollback(ctx, person, sender, namespace), startCleanup(ctx, person, sender, namespace)
		for _, s := range []*story{r.story, c.story} {
			s.approve(ctx)
			s.reached(ctx, v1alpha1.ExecutionVerifying)
		}
		Expect(c.wfe.Finalizers).To(ContainElement(v1alpha1.FinalizerJob))
		c.created(ctx)

		const limit = time.Minute
		took := removed(ctx, namespace)
		AddReportEntry("the namespace was gone after", took.Round(time.Millisecond).String())
		Expect(took).To(BeNumerically("<", limit))

		By("finding all that had happened on the trail")
		for _, s := range []*story{r.story, c.story} {
			trail := audited(ctx, s.rr.Name)
			for _, once := range stepsOfRemediation[:len(stepsOfRemediation)-2] {
				Expect(trail.Of(once)).To(HaveLen(1), once)
			}
		}
	}, SpecTimeout(remediationTimeout))
})

// removed deletes a namespace and returns how long it takes until it is gone.
func removed(ctx context.Context, name string) time.Duration {
	GinkgoHelper()
	watched, err := env.Kubernetes.CoreV1().Namespaces().Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(),
	})
	Expect(err).NotTo(HaveOccurred())
	defer watched.Stop()
	began := time.Now()
	Expect(env.RemoveNamespace(ctx, name)).To(Succeed())
	var last corev1.NamespaceStatus
	for event := range watched.ResultChan() {
		if event.Type == watch.Deleted {
			return time.Since(began)
		}
		if namespace, ok := event.Object.(*corev1.Namespace); ok {
			last = namespace.Status
		}
	}
	Fail("the namespace " + name + " is not gone; its last status was " + last.String())
	return 0
}
