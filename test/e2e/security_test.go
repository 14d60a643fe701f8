//go:build e2e

package e2e_test

import (
	"context"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

// podsOf are the names of a service's pods.
func podsOf(ctx context.Context, service string) []string {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(env.List(ctx, &pods, client.InNamespace(cluster.System), client.MatchingLabels{"app.kubernetes.io/name": service})).To(Succeed())
	names := make([]string, 0, len(pods.Items))
	for i := range pods.Items {
		names = append(names, pods.Items[i].Name)
	}
	slices.Sort(names)
	return names
}

var _ = Describe("the running pods", func() {
	for service, want := range map[string]struct {
		uid   int64
		token bool // whether a token for the API server is mounted
	}{
		"datastorage":             {65532, true},
		"datastorage-maintenance": {65532, false},
		"gateway":                 {65532, true},
		"signalprocessing":        {65532, true},
		"workflowexecution":       {65532, true},
		"postgres":                {999, false},
	} {
		It("of "+service+" have no more privileges than they need", func(ctx SpecContext) {
			var pods corev1.PodList
			Expect(env.List(ctx, &pods, client.InNamespace(cluster.System), client.MatchingLabels{"app.kubernetes.io/name": service})).To(Succeed())
			Expect(pods.Items).NotTo(BeEmpty())
			for i := range pods.Items {
				pod := &pods.Items[i]
				Expect([]bool{pod.Spec.HostNetwork, pod.Spec.HostPID, pod.Spec.HostIPC}).To(HaveEach(BeFalse()))
				for _, status := range pod.Status.ContainerStatuses {
					Expect(status.User).NotTo(BeNil(), "what the runtime says of %s", status.Name)
					Expect(status.User.Linux.UID).To(Equal(want.uid))
				}
				for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
					expectRestricted(pod, &c)
					Expect(mountsToken(&c)).To(Equal(want.token), c.Name)
				}
			}
		}, SpecTimeout(specTimeout))
	}

	It("are alone allowed in their namespace", func(ctx SpecContext) {
		root := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: cluster.System, Name: testenv.Unique("root-*")},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "root", Image: "localhost/root"}}},
		}
		err := env.Create(ctx, root, client.DryRunAll)
		Expect(err).To(MatchError(ContainSubstring(`violates PodSecurity "restricted`)))
	}, SpecTimeout(specTimeout))
})

func expectRestricted(pod *corev1.Pod, c *corev1.Container) {
	GinkgoHelper()
	Expect(c.SecurityContext).NotTo(BeNil(), c.Name)
	Expect(ptr.Deref(c.SecurityContext.ReadOnlyRootFilesystem, false)).To(BeTrue(), "%s has a read-only root", c.Name)
	Expect(ptr.Deref(c.SecurityContext.AllowPrivilegeEscalation, true)).To(BeFalse(), c.Name)
	Expect(ptr.Deref(c.SecurityContext.Privileged, false)).To(BeFalse(), c.Name)
	Expect(c.SecurityContext.Capabilities).To(HaveField("Drop", ContainElement(corev1.Capability("ALL"))), c.Name)
	Expect(ptr.Deref(pod.Spec.SecurityContext.RunAsNonRoot, false)).To(BeTrue())
	Expect(pod.Spec.SecurityContext.SeccompProfile).To(HaveField("Type", corev1.SeccompProfileTypeRuntimeDefault))
}

func mountsToken(c *corev1.Container) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return strings.HasPrefix(m.MountPath, "/var/run/secrets/kubernetes.io/serviceaccount")
	})
}

var _ = Describe("network policies", Label("network-policy"), func() {
	DescribeTable("keep from the database", func(ctx SpecContext, namespace func() string) {
		var database corev1.PodList
		Expect(env.List(ctx, &database, client.InNamespace(cluster.System), client.MatchingLabels{"app.kubernetes.io/name": "postgres"})).To(Succeed())
		Expect(database.Items).NotTo(BeEmpty())
		target := &database.Items[0]
		stranger := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace(), Name: testenv.Unique("stranger-*")},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyOnFailure, AutomountServiceAccountToken: new(false), SecurityContext: target.Spec.SecurityContext,
				Containers: []corev1.Container{{
					Name: "stranger", Image: target.Spec.Containers[0].Image, ImagePullPolicy: corev1.PullIfNotPresent,
					SecurityContext: target.Spec.Containers[0].SecurityContext,
					Command:         []string{"pg_isready", "--host=" + target.Status.PodIP, "--timeout=5"},
				}},
			},
		}
		Expect(env.Create(ctx, stranger)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, stranger)).To(Succeed()) })
		Expect(testenv.WaitFor(ctx, env, stranger, func(p *corev1.Pod) bool { return programEnded(p) != nil })).To(Succeed())
		const noResponse = 2
		Expect(programEnded(stranger)).To(HaveField("ExitCode", BeEquivalentTo(noResponse)))
	},
		Entry("pods of other namespaces", func() string { return env.Namespace }, SpecTimeout(specTimeout)),
		Entry("pods of its own namespace that are not DataStorage", func() string { return cluster.System }, SpecTimeout(specTimeout)),
	)
})

// programEnded tells how a pod's program ended, if it did. A container that the
// runtime could not start, as happens on a busy node, has ended too, although its
// program never ran: the kubelet retries.
func programEnded(p *corev1.Pod) *corev1.ContainerStateTerminated {
	for _, status := range p.Status.ContainerStatuses {
		for _, ended := range []*corev1.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
			if ended != nil && ended.Reason != "StartError" {
				return ended
			}
		}
	}
	return nil
}
