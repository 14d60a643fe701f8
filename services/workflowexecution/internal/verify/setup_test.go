package verify_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/verify"
)

const (
	resolveTimeout = 15 * time.Minute
	groupInterval  = 5 * time.Minute
	staleAfter     = 12 * time.Hour
	stabilization  = 15 * time.Minute
	digest         = "0000000000000000000000000000000000000000000000000000000000000000"
)

var (
	errBroken = errors.New("broken on purpose")
	// finished is when the execution was over.
	finished = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

func at(d time.Duration) metav1.MicroTime { return metav1.NewMicroTime(finished.Add(d)) }

// bench is a stage whose clock and world the test changes.
type bench struct {
	*verify.Stage

	t      *testing.T
	client client.WithWatch
	clock  *clocktesting.FakePassiveClock
	wfe    *v1alpha1.WorkflowExecution
	// events are the recorded types, without repetitions.
	events []string
	ids    map[string]bool
	// record is the error of Record; proposed are the proposals.
	record   error
	proposed []string
	// digest of the workflow now; holds and broken are the result of its condition.
	digest string
	holds  bool
	broken error
	before *unstructured.Unstructured
	// unreadable is set if the target cannot be read.
	unreadable bool
}

func (b *bench) Record(_ context.Context, e *audit.Event) error {
	if b.record != nil {
		return b.record
	}
	if !b.ids[e.ID.String()] {
		b.ids[e.ID.String()] = true
		b.events = append(b.events, e.Type)
	}
	if e.CorrelationID != "rr-1" || e.Category != "remediation" {
		b.t.Errorf("event %+v", e)
	}
	return nil
}

// targets reads what the bench's client does, unless the target cannot be read.
type targets struct{ bench *bench }

func (r targets) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, target := o.(*unstructured.Unstructured); target && r.bench.unreadable {
		return errBroken
	}
	return r.bench.client.Get(ctx, key, o, opts...)
}

func (r targets) List(ctx context.Context, o client.ObjectList, opts ...client.ListOption) error {
	return r.bench.client.List(ctx, o, opts...)
}

func (b *bench) Digest(*v1alpha1.RemediationWorkflowSpec) (string, error) { return b.digest, nil }

func (b *bench) Condition(string) (verify.Condition, error) { return b, nil }

func (b *bench) Holds(_ context.Context, target, before *unstructured.Unstructured) (bool, error) {
	b.before = before
	if target.GetUID() != "uid-web" {
		b.t.Errorf("target %v", target)
	}
	return b.holds, b.broken
}

func (b *bench) Propose(_ context.Context, rr *v1alpha1.RemediationRequest, workflow, rollbackOf string) error {
	b.proposed = append(b.proposed, rr.Name+": "+workflow+" after "+rollbackOf)
	return nil
}

func firing(name string, starts, seen time.Duration) v1alpha1.SignalInstance {
	return v1alpha1.SignalInstance{ID: "id-" + name, Name: name, StartsAt: at(starts), LastSeenAt: at(seen)}
}

func setup(t *testing.T, instances ...v1alpha1.SignalInstance) *bench {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	rr := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1", UID: "uid-rr"},
		Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
			FiringTime: at(-time.Hour), ReceivedTime: at(-time.Hour),
			TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "web-1", Namespace: "shop"},
		}},
		Status: v1alpha1.RemediationRequestStatus{Phase: v1alpha1.RemediationVerifying, Signals: &v1alpha1.SignalInstances{Instances: instances}},
	}
	workflow := &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kubernaut-workflows", Name: "restart"},
		Spec: v1alpha1.RemediationWorkflowSpec{
			Stabilization: metav1.Duration{Duration: stabilization}, Rollback: "undo",
			Verification: v1alpha1.WorkflowVerification{Condition: "true"},
		},
	}
	target := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "uid-web"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", CreationTimestamp: metav1.NewTime(finished.Add(-2 * time.Hour))}}
	over := at(0)
	b := &bench{
		t: t, clock: clocktesting.NewFakePassiveClock(finished), ids: map[string]bool{}, digest: digest, holds: true,
		client: fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(rr).WithObjects(rr, workflow, target, pod).Build(),
		wfe: &v1alpha1.WorkflowExecution{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1-1", UID: "uid-wfe", CreationTimestamp: metav1.NewTime(finished)},
			Spec: v1alpha1.WorkflowExecutionSpec{
				Request:  v1alpha1.ObjectRef{Name: "rr-1", UID: "uid-rr"},
				Target:   v1alpha1.ExecutionTarget{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: "uid-web", Generation: 7},
				Workflow: v1alpha1.WorkflowRef{Name: "restart", SHA256: digest},
			},
			Status: v1alpha1.WorkflowExecutionStatus{Phase: v1alpha1.ExecutionVerifying, FinishedAt: &over},
		},
	}
	b.Stage, err = verify.New(verify.Parts{Live: targets{b}, Audit: b, Catalog: b, Proposer: b, Clock: b.clock, Log: zap.NewNop()}, verify.Options{
		Namespace: "kubernaut-workflows", ResolveTimeout: resolveTimeout, GroupInterval: groupInterval, StaleAfter: staleAfter,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// look advances the execution at a time after its end.
func (b *bench) look(after time.Duration) time.Duration {
	b.t.Helper()
	b.clock.SetTime(finished.Add(after))
	wait, err := b.Advance(b.t.Context(), b.wfe)
	if err != nil {
		b.t.Fatal(err)
	}
	return wait
}

// begin begins the verification at the end of the execution.
func begin(t *testing.T, instances ...v1alpha1.SignalInstance) *bench {
	t.Helper()
	b := setup(t, instances...)
	b.look(0)
	if b.wfe.Status.Verification == nil || !slices.Equal(b.events, []string{auditevents.TypeVerificationStarted}) {
		t.Fatalf("status %+v, events %q", b.wfe.Status, b.events)
	}
	return b
}

// signals changes what the request's status says about its signal.
func (b *bench) signals(change func(*v1alpha1.SignalInstances)) {
	b.t.Helper()
	rr := &v1alpha1.RemediationRequest{}
	if err := b.client.Get(b.t.Context(), client.ObjectKey{Namespace: "shop", Name: "rr-1"}, rr); err != nil {
		b.t.Fatal(err)
	}
	change(rr.Status.Signals)
	if err := b.client.Status().Update(b.t.Context(), rr); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) resolve() {
	b.signals(func(s *v1alpha1.SignalInstances) { s.Instances, s.More = nil, 0 })
}

// expect compares the outcome; none means that the verification goes on.
func (b *bench) expect(outcome v1alpha1.Outcome, says string) {
	b.t.Helper()
	status := &b.wfe.Status
	if status.Outcome != outcome || !strings.Contains(status.Verification.Message, says) {
		b.t.Fatalf("outcome %q, message %q, want %q and %q", status.Outcome, status.Verification.Message, outcome, says)
	}
	want := v1alpha1.ExecutionVerifying
	if outcome != "" {
		want = v1alpha1.ExecutionSucceeded
	}
	if status.Phase != want {
		b.t.Errorf("phase %s, want %s", status.Phase, want)
	}
}
