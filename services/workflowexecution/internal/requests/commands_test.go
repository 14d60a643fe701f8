package requests_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// command is what a person wants done with the request, at a second.
func command(name string, what v1alpha1.Command, second int) *v1alpha1.RemediationCommand {
	return &v1alpha1.RemediationCommand{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(second) * time.Second)),
		},
		Spec: v1alpha1.RemediationCommandSpec{
			Request: v1alpha1.ObjectRef{Name: "rr", UID: "uid-rr"}, Command: what, Reason: "seen", RequestedBy: v1alpha1.Decider{Name: "ada"},
		},
	}
}

// waits is a request that waits for a person.
func waits() *v1alpha1.RemediationRequest {
	rr := request(v1alpha1.RemediationManualReview)
	rr.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionManualReview, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNoWorkflow}}
	return rr
}

// answers compares the result of a command, and a part of its message.
func (b *bench) answers(name, result, says string) {
	b.t.Helper()
	c := &v1alpha1.RemediationCommand{}
	if err := b.client.Get(b.t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, c); err != nil {
		b.t.Fatal(err)
	}
	if c.Status.Result != result || !strings.Contains(c.Status.Message, says) {
		b.t.Errorf("%s: %q %q, want %q and %q", name, c.Status.Result, c.Status.Message, result, says)
	}
}

func TestClosedRequestsAreCompleted(t *testing.T) {
	t.Parallel()
	b := setup(t, waits(), command("close", v1alpha1.CommandClose, 1))
	rr := b.step()
	b.shows(rr, v1alpha1.RemediationCompleted, v1alpha1.ReasonClosed, "remediation.request.closed")
	if rr.Status.CompletedAt == nil || !strings.Contains(rr.Status.Message, "closed by ada: seen") {
		t.Errorf("completed at %v: %s", rr.Status.CompletedAt, rr.Status.Message)
	}
	b.answers("close", "Done", "closed by ada")
}

func TestRetriedRequestsAreClassified(t *testing.T) {
	t.Parallel()
	b := setup(t, waits(), command("retry", v1alpha1.CommandRetry, 1))
	b.shows(b.step(), v1alpha1.RemediationClassified, "", "remediation.request.retried")
	b.answers("retry", "Done", "another attempt is wanted by ada")
}

// The second one comes too late: the request is completed when it would be its turn.
func TestTheOldestCommandCounts(t *testing.T) {
	t.Parallel()
	b := setup(t, waits(), command("a-retry", v1alpha1.CommandRetry, 2), command("b-close", v1alpha1.CommandClose, 1))
	b.shows(b.step(), v1alpha1.RemediationCompleted, v1alpha1.ReasonClosed, "remediation.request.closed")
	b.answers("b-close", "Done", "")
	b.answers("a-retry", "Refused", "the request is Completed: commands are for requests in ManualReview")
}

func TestCommandsAreForRequestsThatWaitForAPerson(t *testing.T) {
	t.Parallel()
	rr := request(v1alpha1.RemediationExecuting)
	rr.Status.ExecutionRef = "rr-1"
	b := setup(t, rr, attempt(1, v1alpha1.ExecutionExecuting), command("close", v1alpha1.CommandClose, 1))
	b.shows(b.step(), v1alpha1.RemediationExecuting, "")
	b.answers("close", "Refused", "the request is Executing")
}

func TestOnlyCommandsAboutTheRequestCount(t *testing.T) {
	t.Parallel()
	another := command("another", v1alpha1.CommandClose, 1)
	another.Spec.Request.UID = "uid-of-an-earlier-one"
	answered := command("answered", v1alpha1.CommandClose, 1)
	answered.Status.Result = "Refused"
	b := setup(t, waits(), another, answered)
	b.shows(b.step(), v1alpha1.RemediationManualReview, v1alpha1.ReasonNoWorkflow)
	b.answers("another", "", "")
	b.answers("answered", "Refused", "")
}

// A crash after the write of the request leaves the command without an answer.
func TestACommandIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	rr := waits()
	rr.Status.LastCommand, rr.Status.Message = "uid-retry", "done before"
	b := setup(t, rr, command("retry", v1alpha1.CommandRetry, 1))
	b.shows(b.step(), v1alpha1.RemediationManualReview, v1alpha1.ReasonNoWorkflow)
	b.answers("retry", "Done", "done before")
}

func TestACommandThatIsNotRecordedIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	b := setup(t, waits(), command("close", v1alpha1.CommandClose, 1))
	b.record = errBroken
	if _, err := b.reconcile(t.Context()); err == nil {
		t.Error("no error")
	}
	b.shows(b.request(), v1alpha1.RemediationManualReview, v1alpha1.ReasonNoWorkflow)
	b.answers("close", "", "")
}
