//go:build integration

package integration_test

import (
	"context"
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/testenv"
)

// reminders are the Kubernetes events that remind of the proposal.
func (r *remediated) reminders(ctx context.Context) {
	GinkgoHelper()
	Expect(testenv.WaitForAll(ctx, env, &eventsv1.EventList{}, func(seen map[client.ObjectKey]*eventsv1.Event) bool {
		for _, e := range seen {
			if e.Reason == "ApprovalPending" && e.Regarding.UID == r.wfe.UID {
				return strings.Contains(e.Note, "kubernaut approve "+r.rr.Name)
			}
		}
		return false
	}, client.InNamespace(r.Namespace))).To(Succeed())
}

var _ = Describe("a reminder of a proposal", func() {
	It("is sent once half of its time is over, and an Alertmanager that does not answer holds nothing up", func(ctx SpecContext) {
		// Connections are made, and nobody answers.
		silent, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(silent.Close)
		r := proposedBy(ctx, func(o *workflowexecution.Options) {
			expiresIn(20 * time.Second)(o)
			o.Alertmanager.URL = "http://" + silent.Addr().String()
		}, nil)
		before := r.target(ctx).Generation
		Expect(testenv.WaitFor(ctx, env, r.wfe, func(wfe *v1alpha1.WorkflowExecution) bool { return wfe.Status.ReminderSentAt != nil })).To(Succeed())
		half := r.wfe.CreationTimestamp.Add(r.wfe.Spec.ExpiresAt.Sub(r.wfe.CreationTimestamp.Time) / 2)
		Expect(r.wfe.Status.ReminderSentAt.Time).NotTo(BeTemporally("<", half.Truncate(time.Microsecond)))
		r.reminders(ctx)

		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "approve", r.rr.Name, "-n", r.Namespace, "--reason", "reminded", "--yes")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(r.target(ctx).Generation).To(Equal(before + 1))
	}, SpecTimeout(specTimeout))
})
