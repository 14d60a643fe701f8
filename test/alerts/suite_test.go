package alerts_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/test/testenv"
)

// specTimeout bounds a spec on a busy machine with the race detector.
const specTimeout = 3 * time.Minute

var (
	// shared is nil in all processes but the first.
	shared *testenv.Shared
	// env is the environment of this process.
	env *testenv.Env
)

func TestAlerts(t *testing.T) {
	t.Parallel()
	RegisterFailHandler(Fail)
	RunSpecs(t, "Alerts")
}

var _ = SynchronizedBeforeSuite(func(ctx SpecContext) []byte {
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
	if shared != nil {
		Expect(shared.Stop(ctx)).To(Succeed())
	}
})

// logger shows the services' logs with the spec that failed.
func logger() *zap.Logger {
	encoder := zap.NewDevelopmentEncoderConfig()
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.AddSync(GinkgoWriter), zapcore.InfoLevel))
}
