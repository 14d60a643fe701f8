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
	b.Stage, err = verify.New(verify.Parts{Live: b.client, Audit: b, Catalog: b, Proposer: b, Clock: b.clock, Log: zap.NewNop()}, verify.Options{
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

func TestAnExecutionIsEffectiveAfterTheStabilization(t *testing.T) {
	t.Parallel()
	b := begin(t, firing("Pod/web-1", -time.Hour, -time.Minute))
	if wait := b.look(time.Minute); wait > 15*time.Second {
		t.Errorf("looks again after %s", wait)
	}
	b.expect("", "1 instances have not resolved")
	b.resolve()
	b.look(2 * time.Minute)
	b.expect("", "stable at 2026-11-23T12:17:00Z")
	if wait := b.look(17*time.Minute - time.Second); wait != time.Second {
		t.Errorf("a second before, it looks again after %s", wait)
	}
	b.look(17*time.Minute - time.Microsecond)
	b.expect("", "stable at")
	b.look(17 * time.Minute)
	b.expect(v1alpha1.OutcomeEffective, "nothing fired for 15m0s")
	if want := []string{auditevents.TypeVerificationStarted, auditevents.TypeVerificationPassed}; !slices.Equal(b.events, want) || b.proposed != nil {
		t.Errorf("events %q, proposals %q", b.events, b.proposed)
	}
}

func TestWithoutStabilizationTheOutcomeFollowsOnceItIsShownWhenItResolved(t *testing.T) {
	t.Parallel()
	for outcome, holds := range map[v1alpha1.Outcome]bool{v1alpha1.OutcomeEffective: true, v1alpha1.OutcomeIneffective: false} {
		b := begin(t)
		workflow := &v1alpha1.RemediationWorkflow{}
		if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: "kubernaut-workflows", Name: "restart"}, workflow); err != nil {
			t.Fatal(err)
		}
		workflow.Spec.Stabilization.Duration = 0
		if err := b.client.Update(t.Context(), workflow); err != nil {
			t.Fatal(err)
		}
		b.holds = holds
		b.look(0)
		b.expect("", "every instance has resolved")
		if resolved := b.wfe.Status.Verification.ResolvedAt; resolved == nil || len(b.events) != 1 {
			t.Errorf("resolved at %s, events %q: an event must not say it first", resolved, b.events)
		}
		b.look(time.Second)
		b.expect(outcome, "")
	}
}

func TestWhatBeginsToFireAfterTheExecutionMakesItIneffective(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*v1alpha1.SignalInstances)
		want   v1alpha1.Outcome
	}{
		"began as it was over": {func(s *v1alpha1.SignalInstances) {
			s.Instances = []v1alpha1.SignalInstance{firing("Pod/web-1", 0, time.Minute)}
		}, ""},
		"began later": {func(s *v1alpha1.SignalInstances) {
			s.Instances = []v1alpha1.SignalInstance{firing("Pod/web-1", time.Microsecond, time.Minute)}
		}, v1alpha1.OutcomeIneffective},
		"began later, and its object is gone": {func(s *v1alpha1.SignalInstances) {
			s.Instances = []v1alpha1.SignalInstance{firing("Pod/web-2", time.Microsecond, time.Minute)}
		}, v1alpha1.OutcomeIneffective},
		"began later, and has resolved": {func(s *v1alpha1.SignalInstances) {
			latest := at(time.Microsecond)
			s.LatestStartsAt = &latest
		}, v1alpha1.OutcomeIneffective},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, resolvedBefore := range []bool{false, true} { // while it waits, and during the stabilization
				b := begin(t, firing("Pod/web-1", -time.Hour, 0))
				if resolvedBefore {
					b.resolve()
				}
				b.look(time.Minute)
				b.expect("", "")
				b.signals(test.change)
				b.look(2 * time.Minute)
				b.expect(test.want, "")
				if ended := test.want != ""; slices.Contains(b.events, auditevents.TypeVerificationFailed) != ended ||
					slices.Equal(b.proposed, []string{"rr-1: undo after rr-1-1"}) != ended {
					t.Errorf("events %q, proposals %q", b.events, b.proposed)
				}
			}
		})
	}
}

func TestWhatDoesNotResolveInTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		instances []v1alpha1.SignalInstance
		want      v1alpha1.Outcome
		unknown   bool
	}{
		"was repeated":              {[]v1alpha1.SignalInstance{firing("Pod/web-1", -time.Hour, time.Microsecond)}, v1alpha1.OutcomeIneffective, false},
		"was not repeated":          {[]v1alpha1.SignalInstance{firing("Pod/web-1", -time.Hour, 0)}, v1alpha1.OutcomeInconclusive, false},
		"one of two was repeated":   {[]v1alpha1.SignalInstance{firing("Pod/web-1", -time.Hour, 0), firing("Widget/a", -time.Hour, time.Minute)}, v1alpha1.OutcomeIneffective, false},
		"is not unknown yet":        {[]v1alpha1.SignalInstance{firing("Widget/a", -24*time.Hour, resolveTimeout-staleAfter+time.Microsecond)}, v1alpha1.OutcomeInconclusive, false},
		"is unknown, not effective": {[]v1alpha1.SignalInstance{firing("Widget/a", -24*time.Hour, resolveTimeout-staleAfter)}, v1alpha1.OutcomeInconclusive, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := begin(t, test.instances...)
			b.look(resolveTimeout - time.Microsecond)
			b.expect("", "have not resolved")
			b.look(resolveTimeout)
			b.expect(test.want, "did not resolve within 15m0s")
			if slices.Contains(b.events, auditevents.TypeInstanceUnknown) != test.unknown {
				t.Errorf("events %q", b.events)
			}
			if proposed := b.proposed != nil; proposed != (test.want == v1alpha1.OutcomeIneffective) {
				t.Errorf("proposals %q", b.proposed)
			}
		})
	}
}

func TestInstancesBeyondTheListHaveToResolve(t *testing.T) {
	t.Parallel()
	for seen, want := range map[time.Duration]v1alpha1.Outcome{0: v1alpha1.OutcomeInconclusive, time.Microsecond: v1alpha1.OutcomeIneffective} {
		b := begin(t)
		b.signals(func(s *v1alpha1.SignalInstances) {
			last := at(seen)
			s.More, s.MoreSeenAt = 3, &last
		})
		b.look(time.Minute)
		b.expect("", "3 instances have not resolved")
		b.look(resolveTimeout)
		b.expect(want, "3 instances")
	}
}

func TestAnInstanceWhoseObjectIsGoneHasResolved(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		instance v1alpha1.SignalInstance
		gone     bool
	}{
		"deleted":                   {firing("Pod/web-9", -time.Hour, time.Minute), true},
		"there":                     {firing("Pod/web-1", -2*time.Hour, time.Minute), false},
		"another of the same name":  {firing("Pod/web-1", -2*time.Hour-time.Microsecond, time.Minute), true},
		"a node that is gone":       {firing("Node/n1", -time.Hour, time.Minute), true},
		"of a kind that is unknown": {firing("Widget/a", -time.Hour, time.Minute), false},
		"not an object":             {firing("queue", -time.Hour, time.Minute), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := begin(t, test.instance)
			b.look(time.Minute)
			if gone := b.wfe.Status.Verification.ResolvedAt != nil; gone != test.gone {
				t.Errorf("resolved: %v, message %q", gone, b.wfe.Status.Verification.Message)
			}
		})
	}
}

// A repeat that was on its way during the stabilization changes nothing, unless it is
// there at the end.
func TestRepeatsOfWhatFiredBeforeChangeNothing(t *testing.T) {
	t.Parallel()
	for _, resolves := range []bool{true, false} {
		b := begin(t)
		b.look(time.Minute)
		b.signals(func(s *v1alpha1.SignalInstances) {
			s.Instances = []v1alpha1.SignalInstance{firing("Pod/web-1", -time.Hour, 2*time.Minute)}
		})
		b.look(10 * time.Minute)
		b.expect("", "stable at 2026-11-23T12:16:00Z")
		want := v1alpha1.OutcomeIneffective
		if resolves {
			b.resolve()
			want = v1alpha1.OutcomeEffective
		}
		b.look(16 * time.Minute)
		b.expect(want, "")
	}
}

func TestTheConditionMustHoldThroughout(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*bench)
		want   v1alpha1.Outcome
		says   string
	}{
		"it does not hold": {func(b *bench) { b.holds = false }, v1alpha1.OutcomeIneffective, "does not hold: true"},
		"it is broken":     {func(b *bench) { b.broken = errBroken }, v1alpha1.OutcomeInconclusive, errBroken.Error()},
		"the workflow was changed": {
			func(b *bench) { b.digest = "1" + digest[1:] },
			v1alpha1.OutcomeInconclusive, "was changed or deleted",
		},
		"the workflow is gone": {func(b *bench) {
			b.remove(&v1alpha1.RemediationWorkflow{ObjectMeta: metav1.ObjectMeta{Namespace: "kubernaut-workflows", Name: "restart"}})
		}, v1alpha1.OutcomeInconclusive, "was changed or deleted"},
		"the target is gone": {func(b *bench) {
			b.remove(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}})
		}, v1alpha1.OutcomeInconclusive, "Deployment web is gone"},
		"another target has its name": {func(b *bench) {
			target := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
			b.remove(target)
			target.UID, target.ResourceVersion = "uid-other", ""
			if err := b.client.Create(b.t.Context(), target); err != nil {
				b.t.Fatal(err)
			}
		}, v1alpha1.OutcomeInconclusive, "Deployment web is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := begin(t)
			b.look(time.Minute)
			b.expect("", "stable at")
			test.change(b)
			b.look(2 * time.Minute)
			b.expect(test.want, test.says)
		})
	}
}

func TestAWorkflowThatMayDeleteItsTargetIsJudgedByTheAlertsOnceItIsGone(t *testing.T) {
	t.Parallel()
	b := begin(t)
	workflow := &v1alpha1.RemediationWorkflow{}
	if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: "kubernaut-workflows", Name: "restart"}, workflow); err != nil {
		t.Fatal(err)
	}
	workflow.Spec.Verification.TargetMayBeDeleted = true
	if err := b.client.Update(t.Context(), workflow); err != nil {
		t.Fatal(err)
	}
	b.remove(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}})
	b.look(time.Minute)
	b.expect("", "stable at")
	b.look(16 * time.Minute)
	b.expect(v1alpha1.OutcomeEffective, "")
}

func (b *bench) remove(object client.Object) {
	b.t.Helper()
	if err := b.client.Delete(b.t.Context(), object); err != nil {
		b.t.Fatal(err)
	}
}

func TestTheConditionKnowsTheTargetBefore(t *testing.T) {
	t.Parallel()
	b := begin(t)
	b.look(time.Minute)
	if b.before.GetGeneration() != 7 || b.before.GetUID() != "uid-web" {
		t.Errorf("before = %v", b.before)
	}
	b.wfe.Status.Before = `{"spec":{"replicas":3}}`
	b.look(time.Minute)
	if got, _, err := unstructured.NestedFieldNoCopy(b.before.Object, "spec", "replicas"); err != nil || got != int64(3) {
		t.Errorf("before = %v, error %v", b.before, err)
	}
}

func TestAnOutcomeIsRecordedBeforeItIsShown(t *testing.T) {
	t.Parallel()
	b := begin(t)
	b.look(time.Minute)
	b.record = errBroken
	b.clock.SetTime(finished.Add(time.Hour))
	if _, err := b.Advance(t.Context(), b.wfe); !errors.Is(err, errBroken) || b.wfe.Status.Phase != v1alpha1.ExecutionVerifying {
		t.Errorf("phase %s, error %v", b.wfe.Status.Phase, err)
	}
	// What was recorded, but not shown, is recorded once.
	b.record = nil
	kept := b.wfe.DeepCopy()
	b.look(time.Hour)
	b.wfe = kept
	b.look(time.Hour)
	if want := []string{auditevents.TypeVerificationStarted, auditevents.TypeVerificationPassed}; !slices.Equal(b.events, want) {
		t.Errorf("events %q", b.events)
	}
}

func TestAnIneffectiveRollbackProposesNothing(t *testing.T) {
	t.Parallel()
	b := begin(t, firing("Pod/web-1", time.Second, time.Second))
	b.wfe.Spec.RollbackOf = "rr-1-0"
	b.look(time.Minute)
	b.expect(v1alpha1.OutcomeIneffective, "began to fire again")
	if b.proposed != nil {
		t.Errorf("proposed %q", b.proposed)
	}
}

func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	good := verify.Options{Namespace: "w", ResolveTimeout: 10 * time.Minute, GroupInterval: 5 * time.Minute, StaleAfter: time.Hour}
	if _, err := verify.New(verify.Parts{}, good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*verify.Options){
		"namespace":       func(o *verify.Options) { o.Namespace = "" },
		"group interval":  func(o *verify.Options) { o.GroupInterval = 0 },
		"resolve timeout": func(o *verify.Options) { o.ResolveTimeout = 10*time.Minute - 1 },
		"stale after":     func(o *verify.Options) { o.StaleAfter = 0 },
	} {
		o := good
		change(&o)
		if _, err := verify.New(verify.Parts{}, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
