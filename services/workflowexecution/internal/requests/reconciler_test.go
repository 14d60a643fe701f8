package requests_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
	"kubernaut.ai/services/workflowexecution/internal/requests"
	"kubernaut.ai/services/workflowexecution/internal/resolve"
)

var (
	errBroken = errors.New("broken on purpose")
	noon      = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

const staleAfter = 12 * time.Hour

func at(d time.Duration) *metav1.MicroTime {
	t := metav1.NewMicroTime(noon.Add(d))
	return &t
}

// bench is a reconciler whose world the test changes.
type bench struct {
	t      *testing.T
	client client.WithWatch
	// hooks come between the reconciler and the client.
	hooks interceptor.Funcs
	// events are the recorded types; record is the error of Record.
	events []string
	ids    map[string]bool
	record error
	// selected and failed are the result of a selection.
	selected requests.Selected
	failed   error
	// selecting is called while a workflow is selected.
	selecting func()
}

func (b *bench) Record(_ context.Context, e *audit.Event) error {
	if b.record == nil {
		b.events = append(b.events, e.Type)
		b.ids[e.ID.String()] = true
	}
	return b.record
}

func (b *bench) Select(context.Context, *v1alpha1.RemediationRequest) (requests.Selected, error) {
	if b.selecting != nil {
		b.selecting()
	}
	return b.selected, b.failed
}

// request is a request in a phase.
func request(phase v1alpha1.RemediationPhase) *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr", UID: "uid-rr"},
		Spec:       v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{FiringTime: *at(-time.Hour), ReceivedTime: *at(-time.Hour)}},
		Status:     v1alpha1.RemediationRequestStatus{Phase: phase, Severity: v1alpha1.SeverityMedium},
	}
}

// attempt is an execution of the request with a number, in a phase.
func attempt(number int, phase v1alpha1.ExecutionPhase) *v1alpha1.WorkflowExecution {
	return &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("rr-", number), Labels: map[string]string{v1alpha1.LabelRequest: "rr"}},
		Spec: v1alpha1.WorkflowExecutionSpec{
			Request: v1alpha1.ObjectRef{Name: "rr", UID: "uid-rr"}, Workflow: v1alpha1.WorkflowRef{Name: "restart"},
			Approval: v1alpha1.ApprovalRequired, Reason: "it fits",
		},
		Status: v1alpha1.WorkflowExecutionStatus{Phase: phase},
	}
}

// setup makes a bench with these objects.
func setup(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.RemediationRequest{}, &v1alpha1.RemediationCommand{}).Build()
	return &bench{t: t, client: c, ids: map[string]bool{}}
}

// reconcile reconciles the request once.
func (b *bench) reconcile(ctx context.Context) (reconcile.Result, error) {
	b.t.Helper()
	c := interceptor.NewClient(b.client, b.hooks)
	registry := prometheus.NewRegistry()
	ended, err := resolve.NewMetrics(registry)
	if err != nil {
		b.t.Fatal(err)
	}
	counted, err := metrics.New(registry)
	if err != nil {
		b.t.Fatal(err)
	}
	ends, err := resolve.New(resolve.Parts{
		Live: c, Cached: b.client, Writer: c, Audit: b, Events: events.NewFakeRecorder(10), Metrics: ended, Executions: counted,
		Clock: clocktesting.NewFakePassiveClock(noon), Log: zap.NewNop(), StaleAfter: staleAfter,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := requests.New(requests.Parts{
		Live: c, Cached: b.client, Writer: c, Selector: b, Ends: ends, Audit: b, Clock: clocktesting.NewFakePassiveClock(noon), Log: zap.NewNop(), Concurrency: 1,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Reconcile(ctx, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "rr"}})
}

// isSoon reports whether a request is to be looked at again although nothing changes, before it may be stale.
func isSoon(result reconcile.Result) bool {
	return result.RequeueAfter > 0 && result.RequeueAfter < time.Hour
}

// step reconciles the request, and returns what became of it.
func (b *bench) step() *v1alpha1.RemediationRequest {
	b.t.Helper()
	if result, err := b.reconcile(b.t.Context()); err != nil || isSoon(result) {
		b.t.Fatalf("%+v %v", result, err)
	}
	return b.request()
}

func (b *bench) request() *v1alpha1.RemediationRequest {
	b.t.Helper()
	rr := &v1alpha1.RemediationRequest{}
	if err := b.client.Get(b.t.Context(), client.ObjectKey{Namespace: "shop", Name: "rr"}, rr); err != nil {
		b.t.Fatal(err)
	}
	return rr
}

// shows compares the phase, the reason of the condition that belongs to it, and the recorded types.
func (b *bench) shows(rr *v1alpha1.RemediationRequest, phase v1alpha1.RemediationPhase, reason string, events ...string) {
	b.t.Helper()
	name := v1alpha1.ConditionManualReview
	if phase.Terminal() {
		name = v1alpha1.ConditionFinished
	}
	got := ""
	if is := meta.FindStatusCondition(rr.Status.Conditions, name); is != nil && is.Status == metav1.ConditionTrue {
		got = is.Reason
	}
	if rr.Status.Phase != phase || got != reason {
		b.t.Errorf("phase %s, reason %q, want %s and %q: %s", rr.Status.Phase, got, phase, reason, rr.Status.Message)
	}
	if want := strings.Join(events, " "); strings.Join(b.events, " ") != want {
		b.t.Errorf("recorded %v, want %q", b.events, want)
	}
}

const (
	reviewed  = "remediation.manual_review.required"
	completed = "remediation.request.completed"
	skipped   = "remediation.request.skipped"
)

func TestASelectionIsShown(t *testing.T) {
	t.Parallel()
	only := attempt(1, v1alpha1.ExecutionProposed)
	only.Spec.Approval, only.Spec.ApprovalReason = v1alpha1.ApprovalNone, "mode observe"
	for name, test := range map[string]struct {
		selected requests.Selected
		phase    v1alpha1.RemediationPhase
		reason   string
		events   []string
		says     string
	}{
		"a proposal": {
			selected: requests.Selected{Execution: attempt(1, "")}, phase: v1alpha1.RemediationAwaitingApproval, says: "workflow restart is proposed in rr-1: it fits",
		},
		"a proposal that nobody can approve": {
			selected: requests.Selected{Execution: only}, phase: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonProposalOnly,
			events: []string{reviewed}, says: "mode observe",
		},
		"nothing": {
			selected: requests.Selected{Reason: v1alpha1.ReasonNoWorkflow, Message: "none\nfits"}, phase: v1alpha1.RemediationManualReview,
			reason: v1alpha1.ReasonNoWorkflow, events: []string{reviewed}, says: `none\nfits`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, request(v1alpha1.RemediationClassified))
			b.selected = test.selected
			rr := b.step()
			b.shows(rr, test.phase, test.reason, test.events...)
			if !strings.Contains(rr.Status.Message, test.says) || rr.Status.SelectedSeverity != v1alpha1.SeverityMedium {
				t.Errorf("message %q, selected for %s", rr.Status.Message, rr.Status.SelectedSeverity)
			}
			if wfe := test.selected.Execution; wfe != nil && rr.Status.ExecutionRef != wfe.Name {
				t.Errorf("refers to execution %q", rr.Status.ExecutionRef)
			}
		})
	}
}

// over changes an execution that was started and is over.
func over(change func(*v1alpha1.WorkflowExecutionStatus)) func(*v1alpha1.WorkflowExecution, *v1alpha1.RemediationRequest) {
	return func(wfe *v1alpha1.WorkflowExecution, _ *v1alpha1.RemediationRequest) {
		wfe.Status.StartedAt, wfe.Status.FinishedAt = at(-time.Minute), at(-time.Second)
		change(&wfe.Status)
	}
}

func TestARequestShowsWhatBecameOfItsExecution(t *testing.T) {
	t.Parallel()
	outcome := func(o v1alpha1.Outcome) func(*v1alpha1.WorkflowExecution, *v1alpha1.RemediationRequest) {
		return over(func(s *v1alpha1.WorkflowExecutionStatus) { s.Outcome = o })
	}
	for name, test := range map[string]struct {
		phase  v1alpha1.ExecutionPhase
		change func(*v1alpha1.WorkflowExecution, *v1alpha1.RemediationRequest)
		want   v1alpha1.RemediationPhase
		reason string
		events string
	}{
		"proposed":          {phase: v1alpha1.ExecutionProposed, want: v1alpha1.RemediationAwaitingApproval},
		"approved":          {phase: v1alpha1.ExecutionApproved, want: v1alpha1.RemediationApproved},
		"executing":         {phase: v1alpha1.ExecutionExecuting, want: v1alpha1.RemediationExecuting},
		"verifying":         {phase: v1alpha1.ExecutionVerifying, change: outcome(""), want: v1alpha1.RemediationVerifying},
		"rejected":          {phase: v1alpha1.ExecutionRejected, want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonProposalRejected, events: reviewed},
		"expired":           {phase: v1alpha1.ExecutionExpired, want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonProposalExpired, events: reviewed},
		"invalidated":       {phase: v1alpha1.ExecutionInvalidated, want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonProposalInvalidated, events: reviewed},
		"failed":            {phase: v1alpha1.ExecutionFailed, want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonExecutionFailed, events: reviewed},
		"failed, who knows": {phase: v1alpha1.ExecutionFailed, change: outcome(v1alpha1.OutcomeInconclusive), want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonInconclusive, events: reviewed},
		"effective":         {phase: v1alpha1.ExecutionSucceeded, change: outcome(v1alpha1.OutcomeEffective), want: v1alpha1.RemediationCompleted, reason: v1alpha1.ReasonEffective, events: completed},
		"ineffective":       {phase: v1alpha1.ExecutionSucceeded, change: outcome(v1alpha1.OutcomeIneffective), want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonIneffective, events: reviewed},
		"inconclusive":      {phase: v1alpha1.ExecutionSucceeded, change: outcome(v1alpha1.OutcomeInconclusive), want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonInconclusive, events: reviewed},
		"it fires at the end again": {
			phase: v1alpha1.ExecutionSucceeded, want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonIneffective, events: reviewed,
			change: func(wfe *v1alpha1.WorkflowExecution, rr *v1alpha1.RemediationRequest) {
				outcome(v1alpha1.OutcomeEffective)(wfe, rr)
				rr.Status.Signals = &v1alpha1.SignalInstances{
					LatestStartsAt: at(0), Instances: []v1alpha1.SignalInstance{{ID: "0123456789abcdef", StartsAt: *at(0), LastSeenAt: *at(0)}},
				}
			},
		},
		"the execution is another request's": {
			phase: v1alpha1.ExecutionApproved, want: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonInconclusive, events: reviewed,
			change: func(wfe *v1alpha1.WorkflowExecution, _ *v1alpha1.RemediationRequest) { wfe.Spec.Request.UID = "other" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rr, wfe := request(v1alpha1.RemediationAwaitingApproval), attempt(1, test.phase)
			rr.Status.ExecutionRef = wfe.Name
			if test.change != nil {
				test.change(wfe, rr)
			}
			b := setup(t, rr, wfe)
			rr = b.step()
			b.shows(rr, test.want, test.reason, strings.Fields(test.events)...)
			if started := wfe.Status.StartedAt != nil; started != (rr.Status.RemediatedAt != nil) {
				t.Errorf("remediated at %v", rr.Status.RemediatedAt)
			}
			if rr.Status.Phase.Terminal() != (rr.Status.CompletedAt != nil) {
				t.Errorf("completed at %v", rr.Status.CompletedAt)
			}
			b.step()
			b.shows(b.request(), test.want, test.reason, strings.Fields(test.events)...) // once
		})
	}
}

// Whoever ends a request and whoever takes it further never work at the same time, and the end comes first: an end that was
// recorded and not shown is decided again in the same phase, and is the same event.
func TestAnEndThatIsNotShownIsRecordedOnce(t *testing.T) {
	t.Parallel()
	resolved := request(v1alpha1.RemediationClassified)
	resolved.Status.Signals = &v1alpha1.SignalInstances{EndedAt: at(0)}
	b := setup(t, resolved)
	b.failed = errors.New("a workflow is selected for a request whose signal is over")
	b.hooks.SubResourcePatch = func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
		return errBroken
	}
	if _, err := b.reconcile(t.Context()); !errors.Is(err, errBroken) {
		t.Fatalf("error %v", err)
	}
	b.hooks = interceptor.Funcs{}
	rr := b.step()
	if len(b.ids) != 1 {
		t.Errorf("ends %v", b.ids)
	}
	b.shows(rr, v1alpha1.RemediationSkipped, v1alpha1.ReasonResolvedBeforeExecution, skipped, skipped)
}

// A signal that resolves while a workflow is selected makes the selection void, and there is one end.
func TestASignalThatResolvesDuringASelectionEndsTheRequestOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, request(v1alpha1.RemediationClassified))
	b.selected = requests.Selected{Reason: v1alpha1.ReasonNoWorkflow, Message: "none fits"}
	b.selecting = func() {
		rr := b.request()
		rr.Status.Signals = &v1alpha1.SignalInstances{EndedAt: at(0)}
		if err := b.client.Status().Update(t.Context(), rr); err != nil {
			t.Fatal(err)
		}
	}
	if result, err := b.reconcile(t.Context()); err != nil || !isSoon(result) {
		t.Fatalf("%+v %v", result, err)
	}
	b.shows(b.step(), v1alpha1.RemediationSkipped, v1alpha1.ReasonResolvedBeforeExecution, reviewed, skipped)
}

func TestARequestWhoseExecutionIsGoneWaitsForAPerson(t *testing.T) {
	t.Parallel()
	rr := request(v1alpha1.RemediationExecuting)
	rr.Status.ExecutionRef = "rr-1"
	b := setup(t, rr)
	b.shows(b.step(), v1alpha1.RemediationManualReview, v1alpha1.ReasonInconclusive, reviewed)
	b.shows(b.step(), v1alpha1.RemediationManualReview, v1alpha1.ReasonInconclusive, reviewed)
}

func TestARequestMovesOnToTheRollbackOfItsExecution(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(first, next *v1alpha1.WorkflowExecution)
		ref    string
		phase  v1alpha1.RemediationPhase
		reason string
	}{
		"after an execution that did not help": {ref: "rr-2", phase: v1alpha1.RemediationAwaitingApproval},
		"not to a rollback of another execution": {
			change: func(_, next *v1alpha1.WorkflowExecution) { next.Spec.RollbackOf = "rr-0" },
			ref:    "rr-1", phase: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonIneffective,
		},
		"not to another request's": {
			change: func(_, next *v1alpha1.WorkflowExecution) { next.Spec.Request.UID = "other" },
			ref:    "rr-1", phase: v1alpha1.RemediationManualReview, reason: v1alpha1.ReasonIneffective,
		},
		"not as long as the outcome is open": {
			change: func(first, _ *v1alpha1.WorkflowExecution) {
				first.Status.Phase, first.Status.Outcome = v1alpha1.ExecutionVerifying, ""
			},
			ref: "rr-1", phase: v1alpha1.RemediationVerifying,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rr, first, next := request(v1alpha1.RemediationVerifying), attempt(1, v1alpha1.ExecutionSucceeded), attempt(2, v1alpha1.ExecutionProposed)
			over(func(s *v1alpha1.WorkflowExecutionStatus) { s.Outcome = v1alpha1.OutcomeIneffective })(first, rr)
			rr.Status.ExecutionRef, next.Spec.RollbackOf = first.Name, first.Name
			if test.change != nil {
				test.change(first, next)
			}
			b := setup(t, rr, first, next)
			var want []string
			if test.phase != v1alpha1.RemediationVerifying {
				want = []string{reviewed} // the first execution did not help, whatever comes next
			}
			rr = b.step()
			b.shows(rr, test.phase, test.reason, want...)
			if rr.Status.ExecutionRef != test.ref || rr.Status.RemediatedAt == nil {
				t.Errorf("refers to %s, remediated at %v", rr.Status.ExecutionRef, rr.Status.RemediatedAt)
			}
		})
	}
}

func TestARequestShowsTheGuardRailOfItsExecution(t *testing.T) {
	t.Parallel()
	rr, wfe := request(v1alpha1.RemediationApproved), attempt(1, v1alpha1.ExecutionApproved)
	rr.Status.ExecutionRef = wfe.Name
	wfe.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionGuardRail, Status: metav1.ConditionTrue, Reason: v1alpha1.RailCoolDown, Message: "wait"}}
	b := setup(t, rr, wfe)
	is := meta.FindStatusCondition(b.step().Status.Conditions, v1alpha1.ConditionGuardRail)
	if is == nil || is.Reason != v1alpha1.RailCoolDown || is.Message != "rr-1: wait" {
		t.Fatalf("%+v", is)
	}
	wfe.Status.Phase = v1alpha1.ExecutionRejected
	if err := b.client.Update(t.Context(), wfe); err != nil {
		t.Fatal(err)
	}
	if is := meta.FindStatusCondition(b.step().Status.Conditions, v1alpha1.ConditionGuardRail); is != nil {
		t.Errorf("%+v after the end of the execution", is)
	}
}

func TestARequestThatShowsItsExecutionIsNotReadAgain(t *testing.T) {
	t.Parallel()
	for _, phase := range []v1alpha1.ExecutionPhase{v1alpha1.ExecutionProposed, v1alpha1.ExecutionApproved, v1alpha1.ExecutionExecuting, v1alpha1.ExecutionVerifying} {
		rr, wfe := request(v1alpha1.RemediationAwaitingApproval), attempt(1, phase)
		rr.Status.ExecutionRef = wfe.Name
		b := setup(t, rr, wfe)
		shown := b.step()
		reads := 0
		b.hooks = interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			reads++
			return c.Get(ctx, key, o, opts...)
		}}
		if again := b.step(); again.ResourceVersion != shown.ResourceVersion || reads > 0 {
			t.Errorf("%s: %d reads, version %s after %s", phase, reads, again.ResourceVersion, shown.ResourceVersion)
		}
	}
}

func TestAHigherSeverityGetsAnotherSelection(t *testing.T) {
	t.Parallel()
	for severity, want := range map[v1alpha1.Severity]v1alpha1.RemediationPhase{
		v1alpha1.SeverityCritical: v1alpha1.RemediationClassified, v1alpha1.SeverityHigh: v1alpha1.RemediationClassified,
		v1alpha1.SeverityMedium: v1alpha1.RemediationManualReview, v1alpha1.SeverityLow: v1alpha1.RemediationManualReview,
		v1alpha1.SeverityUnknown: v1alpha1.RemediationManualReview,
	} {
		rr := request(v1alpha1.RemediationManualReview)
		rr.Status.Severity, rr.Status.SelectedSeverity = severity, v1alpha1.SeverityMedium
		rr.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionManualReview, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNoWorkflow}}
		b := setup(t, rr)
		if got := b.step().Status.Phase; got != want {
			t.Errorf("%s after %s: %s, want %s", severity, v1alpha1.SeverityMedium, got, want)
		}
	}
}

// A request that waits because nothing was proposed does not go back to its earlier execution.
func TestARequestWithoutAProposalDoesNotShowItsEarlierExecution(t *testing.T) {
	t.Parallel()
	rr, wfe := request(v1alpha1.RemediationManualReview), attempt(1, v1alpha1.ExecutionRejected)
	rr.Status.ExecutionRef = wfe.Name
	rr.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionManualReview, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPolicyError}}
	b := setup(t, rr, wfe)
	b.shows(b.step(), v1alpha1.RemediationManualReview, v1alpha1.ReasonPolicyError)
}

func TestRequestsOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, phase := range []v1alpha1.RemediationPhase{
		"", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped,
	} {
		before := request(phase)
		before.Status.ExecutionRef = "rr-1"
		b := setup(t, before, attempt(1, v1alpha1.ExecutionRejected))
		b.shows(b.step(), phase, "")
	}
}

// What could not be recorded is not shown, and is tried again.
func TestNothingIsShownThatIsNotRecorded(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]v1alpha1.Outcome{"a review": v1alpha1.OutcomeIneffective, "a completion": v1alpha1.OutcomeEffective} {
		rr, wfe := request(v1alpha1.RemediationVerifying), attempt(1, v1alpha1.ExecutionSucceeded)
		over(func(s *v1alpha1.WorkflowExecutionStatus) { s.Outcome = outcome })(wfe, rr)
		rr.Status.ExecutionRef = wfe.Name
		b := setup(t, rr, wfe)
		b.record = errBroken
		if _, err := b.reconcile(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("%s: error %v", name, err)
		}
		if got := b.request().Status.Phase; got != v1alpha1.RemediationVerifying {
			t.Errorf("%s: phase %s", name, got)
		}
		b.record = nil
		if b.step(); len(b.events) != 1 {
			t.Errorf("%s: recorded %v at the next attempt", name, b.events)
		}
	}
}

func TestErrorsOfAReconciliation(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "remediationrequests"}
	status := func(err error) interceptor.Funcs {
		return interceptor.Funcs{SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			return err
		}}
	}
	for name, test := range map[string]struct {
		hooks interceptor.Funcs
		fails error // of the selection
		again bool
		want  string
	}{
		"a conflict":      {hooks: status(apierrors.NewConflict(resource, "rr", errBroken)), again: true},
		"a refused write": {hooks: status(errBroken), want: "write status of RemediationRequest shop/rr"},
		"a failed look": {hooks: interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errBroken
		}}, want: "read RemediationRequest shop/rr"},
		"a failed choice":  {fails: errBroken, want: "advance RemediationRequest shop/rr in phase Classified: select a workflow"},
		"something absent": {fails: apierrors.NewNotFound(resource, "other"), want: "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, request(v1alpha1.RemediationClassified))
			b.selected, b.failed, b.hooks = requests.Selected{Execution: attempt(1, "")}, test.fails, test.hooks
			result, err := b.reconcile(t.Context())
			if (test.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if isSoon(result) != test.again {
				t.Errorf("%+v", result)
			}
		})
	}
	t.Run("a request that goes meanwhile", func(t *testing.T) {
		t.Parallel()
		b := setup(t, request(v1alpha1.RemediationClassified))
		b.hooks.SubResourcePatch = func(ctx context.Context, c client.Client, _ string, rr client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
			return errors.Join(c.Delete(ctx, rr), apierrors.NewNotFound(resource, "rr"))
		}
		b.selected.Execution = attempt(1, "")
		if result, err := b.reconcile(t.Context()); err != nil || isSoon(result) {
			t.Errorf("%+v %v", result, err)
		}
	})
	t.Run("the service stops", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b := setup(t, request(v1alpha1.RemediationClassified))
		b.failed = errBroken
		if _, err := b.reconcile(ctx); err != nil {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no worker", func(t *testing.T) {
		t.Parallel()
		if _, err := requests.New(requests.Parts{}); err == nil || !strings.Contains(err.Error(), "at least 1") {
			t.Errorf("error %v", err)
		}
	})
}
