//go:build integration

package integration_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

const (
	policyLoaded   = "signalprocessing.policy.loaded"
	policyRejected = "signalprocessing.policy.rejected"
)

// saying sends each message that a logger logs.
func saying(messages chan<- string) *zap.Logger {
	return logger().WithOptions(zap.Hooks(func(e zapcore.Entry) error {
		select {
		case messages <- e.Message:
		default: // nobody waits for so many
		}
		return nil
	}))
}

// heard waits for a message of a logger.
func heard(ctx context.Context, messages <-chan string, beginning string) {
	GinkgoHelper()
	for {
		select {
		case message := <-messages:
			if strings.HasPrefix(message, beginning) {
				return
			}
		case <-ctx.Done():
			Fail("nobody says: " + beginning)
		}
	}
}

var _ = Describe("policies of the user", func() {
	It("decide, are reloaded whole, and stay in force while the directory is unusable", func(ctx SpecContext) {
		namespace, err := env.NewNamespace(ctx, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		dir := GinkgoT().TempDir()
		Expect(os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "internal", "policy", "builtin")))).To(Succeed())
		severity := func(value, more string) {
			GinkgoHelper()
			text := "package kubernaut.severity\n# " + namespace + "\ndecision := {\"value\": \"" + value + "\", \"source\": \"ours\", \"confidence\": 42}\n" + more
			Expect(os.WriteFile(filepath.Join(dir, "severity.rego"), []byte(text), 0o600)).To(Succeed())
		}
		Expect(os.Remove(filepath.Join(dir, "severity_test.rego"))).To(Succeed())
		severity("low", "")

		messages := make(chan string, 1000)
		p := startProcessor(ctx, namespace, func(o *signalprocessing.Options) {
			o.PolicyDir, o.Log = dir, saying(messages)
		})
		heard(ctx, messages, "policies are in force")
		decided := func(want v1alpha1.Severity) (*v1alpha1.SignalProcessing, testenv.Trail) {
			GinkgoHelper()
			rr := env.Request(env.CorrelationID())
			rr.Namespace, rr.Spec.Severity = namespace, "warning"
			sp := classified(ctx, rr)
			Expect(sp.Status.Severity.Value).To(Equal(want))
			Expect(sp.Status.Severity.Source).To(Equal("ours"))
			Expect(sp.Status.Policy.Origin).To(Equal(dir))
			return sp, trailOf(ctx, rr.Name, p.managementURL)
		}
		first, trail := decided(v1alpha1.SeverityLow)
		Expect(trail).To(trailtest.HaveAudited(classificationDecision, trailtest.WithData("policy_sha256", first.Status.Policy.SHA256)))

		By("reading the recorded input")
		var data struct {
			SHA256 string          `json:"input_sha256"`
			Input  json.RawMessage `json:"policy_input"`
		}
		Expect(json.Unmarshal(trail.Of(classificationDecision)[0].EventData, &data)).To(Succeed())
		var input struct {
			Now    string `json:"now"`
			Signal struct {
				Severity string `json:"severity"`
			} `json:"signal"`
		}
		Expect(json.Unmarshal(data.Input, &input)).To(Succeed())
		Expect(input.Signal.Severity).To(Equal("warning"))
		Expect(input.Now).NotTo(BeEmpty())
		Expect(data.SHA256).To(HaveLen(hex.EncodedLen(sha256.Size)))

		By("changing the directory")
		severity("high", "")
		heard(ctx, messages, "policies are in force")
		second, _ := decided(v1alpha1.SeverityHigh)
		Expect(second.Status.Policy.SHA256).NotTo(Equal(first.Status.Policy.SHA256))
		Expect(trailOf(ctx, "policy-"+second.Status.Policy.SHA256[:16], p.managementURL)).To(trailtest.HaveAudited(policyLoaded,
			trailtest.WithData("policy_origin", dir), trailtest.WithData("in_force_sha256", first.Status.Policy.SHA256)))

		By("breaking it")
		severity("medium", "x := time.now_ns()\n")
		heard(ctx, messages, "the policy directory is unusable")
		third, _ := decided(v1alpha1.SeverityHigh)
		Expect(third.Status.Policy.SHA256).To(Equal(second.Status.Policy.SHA256))
		Expect(metricsOf(ctx, p.managementURL)).To(ContainSubstring("signalprocessing_policy_rejected 1\n"))

		By("repairing it")
		severity("medium", "")
		heard(ctx, messages, "policies are in force")
		_, _ = decided(v1alpha1.SeverityMedium)
		Expect(metricsOf(ctx, p.managementURL)).To(And(
			ContainSubstring("signalprocessing_policy_rejected 0\n"), ContainSubstring(`signalprocessing_policy_loads_total{result="rejected"} 1`)))
	}, SpecTimeout(specTimeout))

	It("are checked before the service starts", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "own.rego"), []byte("package kubernaut.severity\ndecision := 1\n"), 0o600)).To(Succeed())
		a, err := signalprocessing.New(signalprocessing.Options{
			DataStorageURL: env.DataStorage.URL, ManagementListen: "127.0.0.1:0", RESTConfig: env.Config,
			WatchNamespaces: []string{env.Namespace}, GatewayNamespace: env.Namespace, PolicyDir: dir,
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(a.Run(ctx)).To(MatchError(And(ContainSubstring("--policy-dir"), ContainSubstring("define no data.kubernaut.business.decision"),
			ContainSubstring("kubernaut policy test "+dir))))
	}, SpecTimeout(specTimeout))
})
