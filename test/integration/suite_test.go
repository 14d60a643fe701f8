//go:build integration

package integration_test

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/gather"
)

// specTimeout bounds a spec on a machine that twelve processes with the race detector
// share.
const specTimeout = 2 * time.Minute

// shared is nil in all processes but the first.
var shared *testenv.Shared

// env is the environment of this process.
var env *testenv.Env

// failures collects diagnostics of failed specs.
var failures = gather.New()

func TestIntegration(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Integration")
}

var _ = SynchronizedBeforeSuite(func(ctx SpecContext) []byte {
	Expect(failures.Begin()).To(Succeed())
	var err error
	shared, err = testenv.Start(ctx, testenv.Options{Progress: progress.To(GinkgoWriter), Log: logger()})
	Expect(err).NotTo(HaveOccurred())
	encoded, err := shared.Encode()
	Expect(err).NotTo(HaveOccurred())
	return encoded
}, func(ctx SpecContext, encoded []byte) {
	var err error
	env, err = testenv.Join(ctx, encoded, logger())
	Expect(err).NotTo(HaveOccurred())
})

var _ = SynchronizedAfterSuite(func() {
	if env != nil {
		Expect(env.Close()).To(Succeed())
	}
}, func(ctx SpecContext) {
	if shared == nil {
		return
	}
	archive, err := failures.Collect(ctx, gather.Target{
		Kubeconfig: shared.ControlPlane.Kubeconfig(), DataStorageURL: shared.DataStorage.URL,
	}, GinkgoWriter)
	if archive != "" {
		AddReportEntry("collected for a diagnosis", archive)
	}
	Expect(errors.Join(err, checkEvents(ctx, shared.DataStorage.URL), shared.Stop(ctx))).To(Succeed())
})

var _ = BeforeEach(func() { env.Forget() })

var _ = JustAfterEach(func(ctx SpecContext) {
	if CurrentSpecReport().Failed() {
		AddReportEntry("diagnosis of this spec's correlation ids", env.Diagnose(ctx), ReportEntryVisibilityFailureOrVerbose)
		Expect(failures.Note(ctx, gather.Failure{
			Spec: CurrentSpecReport().FullText(), CorrelationIDs: env.Tracked(), Namespace: env.Namespace,
			Output: CurrentSpecReport().CapturedGinkgoWriterOutput, ManagementURLs: append([]string{env.DataStorage.ManagementURL}, env.ManagementURLs...),
		})).To(Succeed())
	}
})

// logger shows the services' logs with the spec that failed.
func logger() *zap.Logger {
	encoder := zap.NewDevelopmentEncoderConfig()
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.AddSync(GinkgoWriter), zapcore.InfoLevel))
}
