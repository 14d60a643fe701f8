//go:build e2e

package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/test/testenv/cluster"
	"kubernaut.ai/test/testenv/gather"
)

const (
	// specTimeout bounds a spec, with room for a cluster of two cores that twelve
	// processes share; chaosTimeout bounds one that waits for pods to come back.
	specTimeout  = 2 * time.Minute
	chaosTimeout = 5 * time.Minute
)

// shared is nil in all processes but the first.
var shared *cluster.Shared

// env is this process's own.
var env *cluster.Env

// began is when the present spec did.
var began time.Time

// kept tells that a spec of this process failed, whose namespace stays.
var kept bool

// gathering collects what is needed to diagnose failed specs.
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
	case kept:
		GinkgoWriter.Printf("kept namespace %s of a failed spec\n", env.Namespace)
	default:
		Expect(env.Close(ctx)).To(Succeed())
	}
}, func(ctx SpecContext) {
	if shared == nil {
		return
	}
	// Before anything that all share is removed; the namespaces of failed specs are kept.
	archive, err := gathering.Collect(ctx, gather.Target{Kubeconfig: shared.Places.Kubeconfig, Kubectl: kubectl()}, GinkgoWriter)
	if archive != "" {
		AddReportEntry("collected for a diagnosis", archive)
	}
	Expect(errors.Join(err, shared.Remove(ctx))).To(Succeed())
})

// kubectl is the repository's own, where it was built.
func kubectl() string {
	built := filepath.Join("..", "..", "bin", "kubectl")
	if _, err := os.Stat(built); err != nil {
		return ""
	}
	return built
}

var _ = BeforeEach(func() {
	env.Forget()
	began = time.Now()
})

// While all that the spec made is still there.
var _ = JustAfterEach(func(ctx SpecContext) {
	if CurrentSpecReport().Failed() {
		kept = true
		AddReportEntry("what is known of this spec's correlation ids", env.Diagnose(ctx, began), ReportEntryVisibilityFailureOrVerbose)
		Expect(gathering.Note(ctx, gather.Failure{
			Spec: CurrentSpecReport().FullText(), CorrelationIDs: env.Tracked(), Namespace: env.Namespace,
			Output: CurrentSpecReport().CapturedGinkgoWriterOutput,
		})).To(Succeed())
	}
})
