//go:build integration

package integration_test

import (
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("a secret in the environment of a target", func() {
	It("is neither in executions nor in events, on the trail or in logs", func(ctx SpecContext) {
		logged, logs := observer.New(zap.DebugLevel)
		r := remediation(ctx, func(o *workflowexecution.Options) { o.Log = zap.New(logged) })
		planted := "planted-" + env.CorrelationID()
		target := r.target(ctx)
		container := &target.Spec.Template.Spec.Containers[0]
		container.Env = []corev1.EnvVar{{Name: "GREETING", Value: planted}, {Name: "PASSWORD", Value: planted}}
		container.Args = []string{"--password=" + planted, "--token", planted}
		Expect(env.Update(ctx, target)).To(Succeed())

		r.propose(ctx)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "approve", r.rr.Name, "-n", r.Namespace, "--reason", "seen before", "--yes")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		r.send(ctx, alertmanager.Resolved, r.began)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationCompleted))).To(Succeed())

		entries := logs.All()
		Expect(entries).NotTo(BeEmpty())
		texts := make([]map[string]any, 0, len(entries))
		for _, entry := range entries {
			fields := entry.ContextMap()
			fields["message"] = entry.Message
			texts = append(texts, fields)
		}
		seen := map[string]any{"what the command prints": out, "logs": texts, "trail": r.trail(ctx)}
		for name, list := range map[string]client.ObjectList{
			"executions": &v1alpha1.WorkflowExecutionList{}, "requests": &v1alpha1.RemediationRequestList{}, "approvals": &v1alpha1.RemediationApprovalList{},
			"signal processings": &v1alpha1.SignalProcessingList{}, "events": &corev1.EventList{}, "new events": &eventsv1.EventList{},
		} {
			Expect(env.List(ctx, list, client.InNamespace(r.Namespace))).To(Succeed())
			seen[name] = list
		}
		for name, what := range seen {
			encoded, err := json.Marshal(what)
			Expect(err).NotTo(HaveOccurred(), name)
			Expect(string(encoded)).NotTo(ContainSubstring(planted), name)
		}
		Expect(r.target(ctx).Spec.Template.Spec.Containers[0].Env[0].Value).To(Equal(planted), "the target keeps it")
	}, SpecTimeout(specTimeout))
})
