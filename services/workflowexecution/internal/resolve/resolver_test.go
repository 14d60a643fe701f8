package resolve_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
	"kubernaut.ai/services/workflowexecution/internal/resolve"
)

const staleAfter = 12 * time.Hour

var (
	errBroken = errors.New("broken on purpose")
	received  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// bench is a resolver with one request.
type bench struct {
	*resolve.Resolver

	t        *testing.T
	client   client.WithWatch
	clock    *clocktesting.FakePassiveClock
	registry *prometheus.Registry
	events   []string
	ids      map[string]bool
	record   error
	// meanwhile is called when an event of the type is recorded for the first time.
	meanwhile map[string]func()
}

func (b *bench) Record(_ context.Context, e *audit.Event) error {
	if b.record != nil {
		return b.record
	}
	if !b.ids[e.ID.String()] {
		b.ids[e.ID.String()] = true
		b.events = append(b.events, e.Type)
	}
	if do := b.meanwhile[e.Type]; do != nil {
		delete(b.meanwhile, e.Type)
		do()
	}
	return nil
}

func key() client.ObjectKey { return client.ObjectKey{Namespace: "shop", Name: "rr-1"} }

func execution(name string, phase v1alpha1.ExecutionPhase) *v1alpha1.WorkflowExecution {
	return &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: "uid-wfe", CreationTimestamp: metav1.NewTime(received), Labels: map[string]string{v1alpha1.LabelRequest: "rr-1"},
		},
		Spec:   v1alpha1.WorkflowExecutionSpec{Request: v1alpha1.ObjectRef{Name: "rr-1", UID: "uid-1"}},
		Status: v1alpha1.WorkflowExecutionStatus{Phase: phase},
	}
}

// request is one in a phase that nothing fires for; a reason makes it wait for a person.
func request(phase v1alpha1.RemediationPhase, review string) *v1alpha1.RemediationRequest {
	rr := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1", UID: "uid-1", Generation: 1, CreationTimestamp: metav1.NewTime(received)},
		Spec:       v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{ReceivedTime: metav1.NewMicroTime(received)}},
		Status:     v1alpha1.RemediationRequestStatus{Phase: phase, Signals: &v1alpha1.SignalInstances{}},
	}
	if review != "" {
		meta.SetStatusCondition(&rr.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionManualReview, Status: metav1.ConditionTrue, Reason: review})
	}
	return rr
}

func setup(t *testing.T, rr *v1alpha1.RemediationRequest, executions ...client.Object) *bench {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, clock: clocktesting.NewFakePassiveClock(received), registry: prometheus.NewRegistry(), ids: map[string]bool{}, meanwhile: map[string]func(){},
		client: fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(rr, &v1alpha1.WorkflowExecution{}).
			WithObjects(rr).WithObjects(executions...).Build(),
	}
	ends, err := resolve.NewMetrics(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	counted, err := metrics.New(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	b.Resolver, err = resolve.New(resolve.Parts{
		Executions: counted,
		Live:       b.client, Cached: b.client, Writer: b.client, Audit: b, Events: events.NewFakeRecorder(10), Metrics: ends, Clock: b.clock,
		Log: zap.NewNop(), StaleAfter: staleAfter,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write changes the status of the request, as another writer does.
func (b *bench) write(change func(*v1alpha1.RemediationRequest)) {
	b.t.Helper()
	rr := &v1alpha1.RemediationRequest{}
	if err := b.client.Get(b.t.Context(), key(), rr); err != nil {
		b.t.Fatal(err)
	}
	change(rr)
	if err := b.client.Status().Update(b.t.Context(), rr); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) resolve() (time.Duration, error) {
	b.t.Helper()
	return b.Resolve(b.t.Context(), key())
}

func (b *bench) status() *v1alpha1.RemediationRequestStatus {
	b.t.Helper()
	rr := &v1alpha1.RemediationRequest{}
	if err := b.client.Get(b.t.Context(), key(), rr); err != nil {
		b.t.Fatal(err)
	}
	return &rr.Status
}

func (b *bench) execution(name string) *v1alpha1.WorkflowExecution {
	b.t.Helper()
	wfe := &v1alpha1.WorkflowExecution{}
	if err := b.client.Get(b.t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, wfe); err != nil {
		b.t.Fatal(err)
	}
	return wfe
}

func (b *bench) expectEvents(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.events, want) {
		b.t.Errorf("events %q, want %q", b.events, want)
	}
}

func TestHowRequestsEndWhenNothingFires(t *testing.T) {
	t.Parallel()
	const review = v1alpha1.RemediationManualReview
	for name, test := range map[string]struct {
		request *v1alpha1.RemediationRequest
		want    v1alpha1.RemediationPhase
		reason  string
	}{
		"without a phase":   {request("", ""), "", ""},
		"processing":        {request(v1alpha1.RemediationProcessing, ""), v1alpha1.RemediationProcessing, ""},
		"classified":        {request(v1alpha1.RemediationClassified, ""), v1alpha1.RemediationSkipped, v1alpha1.ReasonResolvedBeforeExecution},
		"awaiting approval": {request(v1alpha1.RemediationAwaitingApproval, ""), v1alpha1.RemediationSkipped, v1alpha1.ReasonResolvedBeforeExecution},
		"approved":          {request(v1alpha1.RemediationApproved, ""), v1alpha1.RemediationSkipped, v1alpha1.ReasonResolvedBeforeExecution},
		"executing":         {request(v1alpha1.RemediationExecuting, ""), v1alpha1.RemediationExecuting, ""},
		"verifying":         {request(v1alpha1.RemediationVerifying, ""), v1alpha1.RemediationVerifying, ""},
		"no workflow":       {request(review, v1alpha1.ReasonNoWorkflow), v1alpha1.RemediationCompleted, v1alpha1.ReasonResolved},
		"ineffective":       {request(review, v1alpha1.ReasonIneffective), v1alpha1.RemediationCompleted, v1alpha1.ReasonResolved},
		"failed processing": {request(review, v1alpha1.ReasonProcessingFailed), review, ""},
		"overflow":          {request(review, v1alpha1.ReasonOverflow), review, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.request)
			if _, err := b.resolve(); err != nil {
				t.Fatal(err)
			}
			status := b.status()
			if status.Phase != test.want {
				t.Fatalf("phase %q, want %q", status.Phase, test.want)
			}
			switch test.reason {
			case "":
				b.expectEvents()
				return
			case v1alpha1.ReasonResolved:
				b.expectEvents(auditevents.TypeRequestCompleted)
			default:
				b.expectEvents(auditevents.TypeRequestSkipped)
			}
			condition := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionFinished)
			if condition == nil || condition.Reason != test.reason || status.CompletedAt == nil ||
				meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionManualReview) {
				t.Errorf("status %+v", status)
			}
			if count := testutil.CollectAndCount(b.registry, "workflowexecution_requests_ended_total"); count != 3 {
				t.Errorf("%d series", count)
			}
		})
	}
}

func TestAnOpenProposalIsInvalidatedFirst(t *testing.T) {
	t.Parallel()
	for _, phase := range []v1alpha1.ExecutionPhase{"", v1alpha1.ExecutionProposed, v1alpha1.ExecutionApproved} {
		b := setup(t, request(v1alpha1.RemediationAwaitingApproval, ""), execution("rr-1-1", v1alpha1.ExecutionRejected), execution("rr-1-2", phase))
		if _, err := b.resolve(); err != nil {
			t.Fatal(err)
		}
		b.expectEvents(auditevents.TypeProposalInvalidated, auditevents.TypeRequestSkipped)
		if wfe := b.execution("rr-1-2"); wfe.Status.Phase != v1alpha1.ExecutionInvalidated || wfe.Status.Reason != v1alpha1.ReasonResolvedBeforeExecution {
			t.Errorf("status %+v", wfe.Status)
		}
		if wfe := b.execution("rr-1-1"); wfe.Status.Phase != v1alpha1.ExecutionRejected {
			t.Errorf("status %+v", wfe.Status)
		}
		if b.status().Phase != v1alpha1.RemediationSkipped {
			t.Errorf("status %+v", b.status())
		}
	}
}

// An execution that started meanwhile goes on, and so does its request.
func TestAnExecutionThatStartsMeanwhileGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t, request(v1alpha1.RemediationApproved, ""), execution("rr-1-1", v1alpha1.ExecutionApproved))
	b.meanwhile[auditevents.TypeProposalInvalidated] = func() {
		wfe := b.execution("rr-1-1")
		wfe.Status.Phase = v1alpha1.ExecutionExecuting
		if err := b.client.Status().Update(t.Context(), wfe); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.resolve(); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	if after, err := b.resolve(); err != nil || after != 0 {
		t.Errorf("after %s, error %v", after, err)
	}
	if b.status().Phase != v1alpha1.RemediationApproved || b.execution("rr-1-1").Status.Phase != v1alpha1.ExecutionExecuting {
		t.Errorf("request %+v, execution %+v", b.status(), b.execution("rr-1-1").Status)
	}
}

// A request may be behind its execution, which has helped or not by then.
func TestTheResultOfAnExecutionIsShownBeforeTheEnd(t *testing.T) {
	t.Parallel()
	for _, phase := range []v1alpha1.ExecutionPhase{v1alpha1.ExecutionSucceeded, v1alpha1.ExecutionFailed} {
		rr := request(v1alpha1.RemediationApproved, "")
		rr.Status.ExecutionRef = "rr-1-1"
		b := setup(t, rr, execution("rr-1-1", phase))
		if _, err := b.resolve(); err != nil || b.status().Phase != v1alpha1.RemediationApproved {
			t.Errorf("%s: phase %s, error %v", phase, b.status().Phase, err)
		}
		b.expectEvents()
	}
}

func TestWhatWasInvalidatedBeforeACrashStaysSkipped(t *testing.T) {
	t.Parallel()
	wfe := execution("rr-1-1", v1alpha1.ExecutionInvalidated)
	wfe.Status.Reason = v1alpha1.ReasonResolvedBeforeExecution
	b := setup(t, request(v1alpha1.RemediationManualReview, v1alpha1.ReasonProposalInvalidated), wfe)
	if _, err := b.resolve(); err != nil || b.status().Phase != v1alpha1.RemediationSkipped {
		t.Errorf("status %+v, error %v", b.status(), err)
	}
}

func TestAProposalForAFinishedRequestIsInvalidated(t *testing.T) {
	t.Parallel()
	foreign := execution("foreign", v1alpha1.ExecutionProposed)
	foreign.Spec.Request.UID = "uid-0"
	b := setup(t, request(v1alpha1.RemediationCompleted, ""), execution("rr-1-1", v1alpha1.ExecutionApproved), foreign)
	if _, err := b.resolve(); err != nil {
		t.Fatal(err)
	}
	b.expectEvents(auditevents.TypeProposalInvalidated)
	if b.execution("rr-1-1").Status.Phase != v1alpha1.ExecutionInvalidated || b.execution("foreign").Status.Phase != v1alpha1.ExecutionProposed {
		t.Errorf("%+v", b.execution("rr-1-1").Status)
	}
}

// A signal that arrives while the request is ended keeps it open.
func TestASignalPreventsTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, request(v1alpha1.RemediationClassified, ""))
	b.meanwhile[auditevents.TypeRequestSkipped] = func() {
		b.write(func(rr *v1alpha1.RemediationRequest) {
			rr.Status.Signals.Instances = []v1alpha1.SignalInstance{{ID: "0123456789abcdef", LastSeenAt: metav1.NewMicroTime(received)}}
		})
	}
	if _, err := b.resolve(); !apierrors.IsConflict(err) {
		t.Fatalf("error %v, want a conflict", err)
	}
	if _, err := b.resolve(); err != nil {
		t.Fatal(err)
	}
	if phase := b.status().Phase; phase != v1alpha1.RemediationClassified {
		t.Errorf("phase %s", phase)
	}
}

func TestARequestIsStaleExactlyAfterItsLastSignal(t *testing.T) {
	t.Parallel()
	for _, rr := range []*v1alpha1.RemediationRequest{
		request(v1alpha1.RemediationClassified, ""), request(v1alpha1.RemediationAwaitingApproval, ""),
		request(v1alpha1.RemediationManualReview, v1alpha1.ReasonIneffective),
	} {
		rr.Status.Signals = nil
		before := rr.Status.Phase
		b := setup(t, rr)
		b.clock.SetTime(received.Add(staleAfter - time.Microsecond))
		if after, err := b.resolve(); err != nil || after != time.Microsecond || b.status().Phase != before {
			t.Errorf("just before: wait %s, error %v", after, err)
		}
		b.clock.SetTime(received.Add(staleAfter))
		if _, err := b.resolve(); err != nil {
			t.Fatal(err)
		}
		condition := meta.FindStatusCondition(b.status().Conditions, v1alpha1.ConditionFinished)
		if condition == nil || condition.Reason != v1alpha1.ReasonStale || b.status().Phase != v1alpha1.RemediationSkipped {
			t.Errorf("status %+v", b.status())
		}
	}
}

func TestAnEndIsRecordedFirstAndOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, request(v1alpha1.RemediationClassified, ""))
	b.record = errBroken
	if _, err := b.resolve(); !errors.Is(err, errBroken) || b.status().Phase != v1alpha1.RemediationClassified {
		t.Errorf("phase %s, error %v", b.status().Phase, err)
	}
	b.record = nil
	// Another writer changes its own part, so the decision is made again.
	b.meanwhile[auditevents.TypeRequestSkipped] = func() {
		b.write(func(rr *v1alpha1.RemediationRequest) { rr.Status.Priority = "P1" })
	}
	if _, err := b.resolve(); !apierrors.IsConflict(err) {
		t.Fatalf("error %v, want a conflict", err)
	}
	if _, err := b.resolve(); err != nil {
		t.Fatal(err)
	}
	if b.status().Phase != v1alpha1.RemediationSkipped {
		t.Errorf("phase %s", b.status().Phase)
	}
	b.expectEvents(auditevents.TypeRequestSkipped)
}

func TestStaleAfterMustBePositive(t *testing.T) {
	t.Parallel()
	if _, err := resolve.New(resolve.Parts{}); err == nil {
		t.Error("accepted")
	}
}
