//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
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

// next is what comes next from a channel.
func next(ctx context.Context, from <-chan string) string {
	GinkgoHelper()
	select {
	case one := <-from:
		return one
	case <-ctx.Done():
		Fail(context.Cause(ctx).Error())
		return ""
	}
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

	It("is a firing alert in a real Alertmanager, and resolves with the decision", func(ctx SpecContext) {
		told := make(chan string, 100) // the status of each notification
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var notification struct {
				Status string `json:"status"`
			}
			if json.NewDecoder(r.Body).Decode(&notification) == nil {
				told <- notification.Status
			}
		}))
		DeferCleanup(receiver.Close)
		server, err := alertmanager.StartServer(ctx, receiver.URL)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(server.Stop)
		alerts := func(r *remediated) []alertmanager.Shown {
			GinkgoHelper()
			found, err := server.Alerts(ctx, "request", r.rr.Name)
			Expect(err).NotTo(HaveOccurred())
			return found
		}

		r := proposedBy(ctx, func(o *workflowexecution.Options) {
			expiresIn(30 * time.Second)(o)
			o.Alertmanager.URL = server.URL
		}, nil)
		Expect(next(ctx, told)).To(Equal(alertmanager.Firing))
		shown := alerts(r)
		Expect(shown).To(HaveLen(1))
		Expect(shown[0].Status.State).To(Equal("active"))
		Expect(shown[0].Labels).To(SatisfyAll(
			HaveKeyWithValue("alertname", "KubernautApprovalPending"), HaveKeyWithValue("namespace", r.Namespace), HaveKeyWithValue("execution", r.wfe.Name)))
		Expect(shown[0].Annotations["description"]).To(ContainSubstring("kubernaut approve " + r.rr.Name))

		r.approvedBy(ctx, newCommandUser(ctx, approverRules()...))
		Expect(testenv.WaitFor(ctx, env, r.rr, testenv.InPhase(v1alpha1.RemediationVerifying))).To(Succeed())
		Expect(next(ctx, told)).To(Equal(alertmanager.Resolved))
		Expect(alerts(r)).To(BeEmpty())
		Expect(time.Now()).To(BeTemporally("<", r.wfe.Spec.ExpiresAt.Time), "it does not only end with the proposal's time")
	}, SpecTimeout(specTimeout))
})
