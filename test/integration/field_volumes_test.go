//go:build integration

package integration_test

import (
	"errors"
	"net/http"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audittrail/podflush"
	gateway "kubernaut.ai/services/gateway/app"
)

// Specs about volumes whose replica no longer exists.

var _ = Describe("a replica that is scaled away with unsent events on its volume", func() {
	It("field C19: the flush of the workload names its volume", func(ctx SpecContext) {
		workload, err := env.NewStatefulSet(ctx, []string{"spool"}, env.ManagementURLs[0], env.ManagementURLs[0])
		Expect(err).NotTo(HaveOccurred())
		for ordinal := range 2 {
			_, err := workload.AddVolume(ctx, "spool", ordinal)
			Expect(err).NotTo(HaveOccurred())
		}
		flusher, _ := flusherOf(workload, nil)
		Expect(flusher.FlushPods(ctx, "")).To(HaveLen(2))

		By("scaling to one replica")
		Expect(workload.Declare(ctx, 1)).To(Succeed())
		Expect(workload.RemovePod(ctx, workload.PodName(1))).To(Succeed())
		receipts, err := flusher.FlushPods(ctx, "")
		Expect(receipts).To(HaveLen(1), "the pod that is left proved its part: %v", err)
		orphaned, ok := errors.AsType[*podflush.VolumeError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(orphaned.Claims).To(Equal([]string{"spool-" + workload.PodName(1)}))
		Expect(orphaned.Workload).To(Equal(workload.Workload))
		_, out, _ := kubernaut(ctx, "stores", workload.Name, "--kubeconfig", env.Kubeconfig, "-n", env.Namespace)
		Expect(out).To(ContainSubstring("volume spool-" + workload.PodName(1)))

		By("scaling to none")
		Expect(workload.Declare(ctx, 0)).To(Succeed())
		Expect(workload.RemovePod(ctx, workload.PodName(0))).To(Succeed())
		empty, _ := flusherOf(workload, func(o *podflush.Options) { o.Workloads[0].AllowEmpty = true })
		_, err = empty.FlushPods(ctx, "")
		orphaned, ok = errors.AsType[*podflush.VolumeError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(orphaned.Claims).To(HaveLen(2))

		By("removing the claims")
		for _, name := range orphaned.Claims {
			Expect(workload.RemoveVolume(ctx, name)).To(Succeed())
		}
		Expect(empty.FlushPods(ctx, "")).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("field C19: what the volume holds is sent, and the directory is empty then", func(ctx SpecContext) {
		disk := newSpool()
		g, running := soleGateway(ctx, func(o *gateway.Options) { o.DataStorageURL, o.Spool = "http://"+closedPort(), disk })
		answered := post(ctx, g.APIURL(), alertBody("firing", podAlert()))
		Expect(answered.Code).To(Equal(http.StatusCreated))
		adopt := []string{"spool", "adopt", disk.Dir, "--datastorage-url", env.DataStorage.URL}

		By("adopting it while the pod runs")
		code, _, complaint := kubernaut(ctx, adopt...)
		Expect(code).To(Equal(cli.ExitFailed))
		Expect(complaint).To(ContainSubstring("in use"))
		code, out, _ := kubernaut(ctx, "spool", "inspect", disk.Dir)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring("in use"))

		By("looking at it afterwards, twice: nothing is changed")
		Expect(running.Stop()).To(Succeed())
		for range 2 {
			code, out, _ = kubernaut(ctx, "spool", "inspect", disk.Dir, "--events")
			Expect(code).To(Equal(cli.ExitOK))
			Expect(out).To(SatisfyAll(ContainSubstring("2 events"), ContainSubstring(signalReceived), ContainSubstring(answered.RemediationRequestName)))
		}
		code, _, _ = kubernaut(ctx, "spool", "fsck", disk.Dir)
		Expect(code).To(Equal(cli.ExitOK))

		By("adopting it")
		code, out, _ = kubernaut(ctx, adopt...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring("2 events sent"))
		Expect(os.ReadDir(disk.Dir)).To(BeEmpty())
		trail := audited(ctx, answered.RemediationRequestName)
		Expect(trail.Of(signalReceived)).To(HaveLen(1))
		Expect(trail.Of(requestCreated)).To(HaveLen(1))
		code, out, _ = kubernaut(ctx, adopt...)
		Expect(code).To(Equal(cli.ExitOK), "it may be repeated")
		Expect(out).To(ContainSubstring("0 events sent"))
		code, _, complaint = kubernaut(ctx, "spool", "adopt", disk.Dir+"-mistyped", "--datastorage-url", env.DataStorage.URL)
		Expect(code).To(Equal(cli.ExitUsage))
		Expect(complaint).To(ContainSubstring("no such directory"))
	}, SpecTimeout(specTimeout))
})
