package verify_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/verify"
)

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

// When everything has resolved at the first look, its status shows that and the start; the events
// of the outcome follow at the next look.
func TestWithoutStabilizationTheOutcomeFollowsOnceItIsShownWhenItResolved(t *testing.T) {
	t.Parallel()
	for outcome, holds := range map[v1alpha1.Outcome]bool{v1alpha1.OutcomeEffective: true, v1alpha1.OutcomeIneffective: false} {
		b := setup(t)
		workflow := &v1alpha1.RemediationWorkflow{}
		if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: "kubernaut-workflows", Name: "restart"}, workflow); err != nil {
			t.Fatal(err)
		}
		workflow.Spec.Stabilization.Duration = 0
		if err := b.client.Update(t.Context(), workflow); err != nil {
			t.Fatal(err)
		}
		b.holds = holds
		if wait := b.look(time.Second); wait != time.Millisecond {
			t.Errorf("looks again after %s", wait)
		}
		b.expect("", "every instance has resolved")
		shown := b.wfe.Status.Verification
		if !shown.StartedAt.Time.Equal(finished) || shown.ResolvedAt == nil || !slices.Equal(b.events, []string{auditevents.TypeVerificationStarted}) {
			t.Errorf("status %+v, events %q: an event must not say first when it resolved", shown, b.events)
		}
		b.look(2 * time.Second)
		b.expect(outcome, "")
		if resolved := b.wfe.Status.Verification.ResolvedAt; !resolved.Time.Equal(finished.Add(time.Second)) {
			t.Errorf("resolved at %s", resolved)
		}
	}
}

// An outcome of the first look waits for the next one: the start is shown first.
func TestTheStartIsShownBeforeAnOutcomeIsRecorded(t *testing.T) {
	t.Parallel()
	b := begin(t, firing("Pod/web-1", time.Second, time.Second))
	b.expect("", "verification has begun")
	b.look(0)
	b.expect(v1alpha1.OutcomeIneffective, "began to fire again")
}

// A target that nobody can read keeps the condition open, and no outcome that does not need it.
func TestATargetThatCannotBeReadLeavesTheConditionOpen(t *testing.T) {
	t.Parallel()
	b := begin(t)
	b.unreadable = true
	b.clock.SetTime(finished.Add(time.Hour))
	if _, err := b.Advance(t.Context(), b.wfe); !errors.Is(err, errBroken) || b.wfe.Status.Phase != v1alpha1.ExecutionVerifying {
		t.Errorf("phase %s, error %v", b.wfe.Status.Phase, err)
	}
	b.signals(func(s *v1alpha1.SignalInstances) {
		latest := at(time.Second)
		s.LatestStartsAt = &latest
	})
	b.look(time.Hour)
	b.expect(v1alpha1.OutcomeIneffective, "began to fire again")
}

func TestAnExecutionGoesWithItsRequest(t *testing.T) {
	t.Parallel()
	for name, uid := range map[string]types.UID{"the request is gone": "", "another request has its name": "uid-other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1"}}
			b.remove(rr)
			if rr.UID, rr.ResourceVersion = uid, ""; uid != "" {
				if err := b.client.Create(t.Context(), rr); err != nil {
					t.Fatal(err)
				}
			}
			if wait := b.look(0); wait != 0 || b.wfe.Status.Verification != nil || b.events != nil {
				t.Errorf("looks again after %s, status %+v, events %q", wait, b.wfe.Status, b.events)
			}
		})
	}
}

func TestOnlyAnExecutionThatIsOverIsVerified(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1alpha1.WorkflowExecutionStatus){
		"it executes":                   func(s *v1alpha1.WorkflowExecutionStatus) { s.Phase = v1alpha1.ExecutionExecuting },
		"nobody knows when it was over": func(s *v1alpha1.WorkflowExecutionStatus) { s.FinishedAt = nil },
	} {
		b := setup(t)
		change(&b.wfe.Status)
		if _, err := b.Advance(t.Context(), b.wfe); err == nil || b.wfe.Status.Verification != nil {
			t.Errorf("%s: error %v, status %+v", name, err, b.wfe.Status)
		}
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
		b := begin(t, firing("Pod/web-1", -time.Hour, 0))
		b.signals(func(s *v1alpha1.SignalInstances) {
			s.Instances = nil
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
		b.expect("", "stable at 2026-11-23T12:15:00Z")
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
