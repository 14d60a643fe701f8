//go:build e2e

package e2e_test

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/test/testenv/cluster"
	"kubernaut.ai/test/testenv/gather"
)

const (
	// specTimeout bounds a spec on a cluster of two cores that twelve processes share;
	// chaosTimeout bounds one that waits for pods to restart.
	specTimeout  = 2 * time.Minute
	chaosTimeout = 5 * time.Minute
)

// shared is nil in all processes but the first.
var shared *cluster.Shared

// env is the environment of this process.
var env *cluster.Env

// began is when the current spec started.
var began time.Time

// failed tells that a spec of this process failed; its namespace is not removed.
var failed bool

// gathering collects diagnostics of failed specs.
var gathering = gather.New()

func TestE2E(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "E2E")
}

var _ = SynchronizedBeforeSuite(func(ctx SpecContext) []byte {
	Expect(gathering.Begin()).To(Succeed())
	var err error
	shared, err = cluster.Prepare(ctx, cluster.FromEnvironment())
	Expect(err).NotTo(HaveOccurred())
	encoded, err := shared.Encode()
	Expect(err).NotTo(HaveOccurred())
	return encoded
}, func(ctx SpecContext, encoded []byte) {
	var err error
	env, err = cluster.Join(ctx, encoded)
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(specTimeout))

var _ = SynchronizedAfterSuite(func(ctx SpecContext) {
	switch {
	case env == nil:
	case failed:
		GinkgoWriter.Printf("kept namespace %s of a failed spec\n", env.Namespace)
	default:
		Expect(env.Close(ctx)).To(Succeed())
	}
}, func(ctx SpecContext) {
	if shared == nil {
		return
	}
	// Before the shared objects are removed. The namespaces of failed specs remain.
	archive, err := gathering.Collect(ctx, gather.Target{
		Kubeconfig: shared.Addresses.Kubeconfig, Namespaces: []string{cluster.System, cluster.Workflows},
	}, GinkgoWriter)
	if archive != "" {
		AddReportEntry("must-gather archive", archive)
	}
	Expect(errors.Join(err, shared.Remove(ctx))).To(Succeed())
})

var _ = BeforeEach(func() {
	env.Forget()
	began = time.Now()
})

// While everything that the spec made still exists.
var _ = JustAfterEach(func(ctx SpecContext) {
	if CurrentSpecReport().Failed() {
		failed = true
		AddReportEntry("diagnosis of this spec's correlation ids", env.Diagnose(ctx, began), ReportEntryVisibilityFailureOrVerbose)
		Expect(gathering.Note(ctx, gather.Failure{
			Spec: CurrentSpecReport().FullText(), CorrelationIDs: env.Tracked(), Namespace: env.Namespace,
			Output: CurrentSpecReport().CapturedGinkgoWriterOutput,
		})).To(Succeed())
	}
})
