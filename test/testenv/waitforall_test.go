package testenv_test

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/test/testenv"
)

// all holds when there are as many objects as values, each with one of them.
func all(values ...string) func(map[client.ObjectKey]*corev1.ConfigMap) bool {
	return func(seen map[client.ObjectKey]*corev1.ConfigMap) bool {
		found := map[string]bool{}
		for _, c := range seen {
			found[c.Data["value"]] = true
		}
		for _, value := range values {
			if !found[value] {
				return false
			}
		}
		return len(seen) == len(values)
	}
}

func TestWaitForAllSeesChangesAndDeletions(t *testing.T) {
	g := NewWithT(t)
	c := fake.NewClientBuilder().WithObjects(configMap("a", "old"), configMap("b", "old"), configMap("c", "new")).Build()
	done := make(chan error, 1)
	watching := make(chan struct{})
	go func() {
		done <- testenv.WaitForAll(t.Context(), watched{c, watching}, &corev1.ConfigMapList{}, all("new", "newer"), client.InNamespace("here"))
	}()
	<-watching
	g.Expect(c.Update(t.Context(), configMap("a", "newer"))).To(Succeed())
	g.Expect(c.Delete(t.Context(), configMap("b", ""))).To(Succeed())
	g.Expect(<-done).To(Succeed())
}

func TestWaitForAllDoesNotWatchWhatHoldsAlready(t *testing.T) {
	g := NewWithT(t)
	c := fake.NewClientBuilder().WithObjects(configMap("a", "new")).Build()
	watching := make(chan struct{})
	g.Expect(testenv.WaitForAll(t.Context(), watched{c, watching}, &corev1.ConfigMapList{}, all("new"))).To(Succeed())
	g.Expect(testenv.WaitForAll(t.Context(), watched{c, watching}, &corev1.ConfigMapList{}, all(), client.InNamespace("elsewhere"))).To(Succeed())
	g.Expect(watching).NotTo(BeClosed())
}

func TestWaitForAllShowsSomeOfThemWhenTimeIsUp(t *testing.T) {
	g := NewWithT(t)
	c := fake.NewClientBuilder().WithObjects(configMap("a", "old")).Build()
	ctx, cancel := context.WithCancelCause(t.Context())
	err := testenv.WaitForAll(ctx, c, &corev1.ConfigMapList{}, func(map[client.ObjectKey]*corev1.ConfigMap) bool {
		cancel(errors.New("time is up"))
		return false
	})
	g.Expect(err).To(MatchError(SatisfyAll(ContainSubstring("time is up"), ContainSubstring("1 were seen"), ContainSubstring("value: old"))))
}
