//go:build integration

package integration_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/mustgather"
)

var _ = Describe("must-gather of long lists", func() {
	It("collects and tables all requests where they are more than the API server lists at once", func(ctx SpecContext) {
		const requests = 510
		plane, err := controlplane.Start(ctx, controlplane.Options{}) // where nobody processes them
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(plane.Stop(ctx)).To(Succeed()) })
		types := runtime.NewScheme()
		Expect(v1alpha1.AddToScheme(types)).To(Succeed())
		Expect(corev1.AddToScheme(types)).To(Succeed())
		config := plane.Config()
		config.QPS = -1
		c, err := client.New(config, client.Options{Scheme: types})
		Expect(err).NotTo(HaveOccurred())
		namespace := "long-" + env.CorrelationID()
		Expect(c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
		var creating errgroup.Group
		creating.SetLimit(8)
		names := make([]string, 0, requests)
		for range requests {
			rr := env.Request(env.CorrelationID())
			rr.Namespace = namespace
			names = append(names, rr.Name)
			creating.Go(func() error { return c.Create(ctx, rr) })
		}
		Expect(creating.Wait()).To(Succeed())

		g := gatherFrom(ctx, func(o *mustgather.Options) { o.Kubeconfig, o.Namespaces = plane.Kubeconfig(), []string{namespace} })
		table := g.file("kubernaut.ai/remediationrequests.txt")
		Expect(strings.Count(table, "\n")).To(Equal(1+requests), table)
		for _, name := range names {
			Expect(table).To(ContainSubstring(namespace + "  " + name))
			Expect(g.file("namespaces/" + namespace + "/kubernaut.ai/remediationrequests/" + name + ".yaml")).To(ContainSubstring("name: " + name))
		}
		Expect(g.file("summary.txt")).To(ContainSubstring(fmt.Sprintf("%8d  remediationrequest", requests)))
	}, SpecTimeout(specTimeout))
})
