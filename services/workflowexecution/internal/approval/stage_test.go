package approval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
)

const (
	workflows = "kubernaut-workflows"
	planned   = "0000000000000000000000000000000000000000000000000000000000000001"
)

// events are what a stage has recorded.
type events []*audit.Event

func (r *events) Record(_ context.Context, e *audit.Event) error {
	*r = append(*r, e)
	return nil
}

func (r *events) types() string {
	all := make([]string, 0, len(*r))
	for _, e := range *r {
		all = append(all, e.Type)
	}
	return strings.Join(all, " ")
}

// planOf makes the number of replicas all that a plan depends on.
type planOf struct{}

func (planOf) Digest(_ context.Context, _ *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, _ []v1alpha1.ExecutionParameter, _ types.UID) (string, error) {
	if replicas, _, _ := unstructured.NestedInt64(target.Object, "spec", "replicas"); replicas != 1 {
		return "changed", nil
	}
	return planned, nil
}

// rails require a person if they say why.
type rails string

func (r rails) RequiresPerson(context.Context, *v1alpha1.WorkflowExecution) (string, error) {
	return string(r), nil
}

// reminders are what people are told: that a proposal waits, that it waits still, and that it does not.
type reminders []string

func (r *reminders) Remind(_ *v1alpha1.WorkflowExecution, first bool) {
	if first {
		*r = append(*r, "waits")
		return
	}
	*r = append(*r, "still")
}

func (r *reminders) Settled(*v1alpha1.WorkflowExecution) { *r = append(*r, "over") }

// scene is a proposal, with what it depends on.
type scene struct {
	wfe      *v1alpha1.WorkflowExecution
	workflow *v1alpha1.RemediationWorkflow
	target   *appsv1.Deployment
	others   []client.Object
	now      time.Time
	rails    rails
	server   apiServer
	reminded reminders
}

// decided adds a decision.
func (s *scene) decided(name, by string, verdict v1alpha1.Verdict) {
	s.others = append(s.others, &v1alpha1.RemediationApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(s.now)},
		Spec: v1alpha1.RemediationApprovalSpec{
			Execution: s.wfe.Name, ExecutionUID: s.wfe.UID, PlanDigest: planned, Verdict: verdict, Reason: "seen", DecidedBy: v1alpha1.Decider{Name: by},
		},
	})
}

func newScene(t *testing.T) *scene {
	t.Helper()
	one, now := int32(1), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &scene{
		now: now,
		wfe: &v1alpha1.WorkflowExecution{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1", UID: "u", CreationTimestamp: metav1.NewTime(now)},
			Spec: v1alpha1.WorkflowExecutionSpec{
				Request: v1alpha1.ObjectRef{Name: "rr", UID: "r"}, Workflow: v1alpha1.WorkflowRef{Name: "restart", SHA256: "restarts", Risk: v1alpha1.RiskLow},
				Target:   v1alpha1.ExecutionTarget{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: "web-1"},
				Approval: v1alpha1.ApprovalRequired, ApprovalReason: "production", PlanDigest: planned, Admission: snapshotOf(t, shipped(t)),
				ExpiresAt: metav1.NewMicroTime(now.Add(time.Hour)),
			},
		},
		workflow: &v1alpha1.RemediationWorkflow{
			ObjectMeta: metav1.ObjectMeta{Namespace: workflows, Name: "restart"}, Spec: v1alpha1.RemediationWorkflowSpec{Description: "restarts"},
		},
		target: &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "web-1"}, Spec: appsv1.DeploymentSpec{Replicas: &one},
		},
		server: apiServer{objects: shipped(t), answer: refusal()},
	}
}

// stage makes the stage that looks at the scene.
func (s *scene) stage(t *testing.T, recorded *events) *Stage {
	t.Helper()
	objects := append([]client.Object{s.wfe}, s.others...)
	if s.workflow != nil {
		objects = append(objects, s.workflow)
	}
	if s.target != nil {
		objects = append(objects, s.target)
	}
	s.server.objects = append(s.server.objects, objects...)
	guard := s.server.guard(t)
	return New(Parts{
		Live: guard.Live, Guard: guard, Plans: planOf{}, Rails: s.rails, Reminder: &s.reminded, Audit: recorded, Namespace: workflows,
		WorkflowDigest: func(spec *v1alpha1.RemediationWorkflowSpec) (string, error) { return spec.Description, nil },
		Clock:          testingclock.NewFakePassiveClock(s.now),
	})
}

func TestAdvance(t *testing.T) {
	t.Parallel()
	const (
		approved    = "remediation.approval.approved"
		rejected    = "remediation.approval.rejected"
		expired     = "remediation.approval.expired"
		invalidated = "remediation.approval.invalidated"
	)
	for name, test := range map[string]struct {
		change func(*scene)
		phase  v1alpha1.ExecutionPhase
		event  string
		// says is a part of the message, wait when to look again.
		says string
		wait time.Duration
	}{
		"nobody has decided":              {wait: lookAgain},
		"the expiry is near":              {change: func(s *scene) { s.now = s.wfe.Spec.ExpiresAt.Add(-time.Second) }, wait: time.Second},
		"half of the time is nearly over": {change: func(s *scene) { s.now = s.now.Add(30*time.Minute - 2*time.Second) }, wait: 2 * time.Second},
		"nobody decided in time": {
			change: func(s *scene) { s.now = s.wfe.Spec.ExpiresAt.Time },
			phase:  v1alpha1.ExecutionExpired, event: expired, says: "nobody decided",
		},
		"approved": {
			change: func(s *scene) { s.decided("u", "ada", v1alpha1.VerdictApprove) },
			phase:  v1alpha1.ExecutionApproved, event: approved, wait: probeAgain,
		},
		"rejected": {
			change: func(s *scene) { s.decided("u", "ada", v1alpha1.VerdictReject) },
			phase:  v1alpha1.ExecutionRejected, event: rejected, says: "seen", wait: probeAgain,
		},
		"nobody may approve": {change: func(s *scene) {
			s.wfe.Spec.Approval = v1alpha1.ApprovalNone
			s.decided("u", "ada", v1alpha1.VerdictApprove)
		}, wait: lookAgain},
		"the policy approves": {
			change: func(s *scene) { s.wfe.Spec.Approval = v1alpha1.ApprovalAuto },
			phase:  v1alpha1.ExecutionApproved, event: approved,
		},
		"the policy would approve, and a person rejects": {
			change: func(s *scene) {
				s.wfe.Spec.Approval = v1alpha1.ApprovalAuto
				s.decided("u", "ada", v1alpha1.VerdictReject)
			},
			phase: v1alpha1.ExecutionRejected, event: rejected, says: "seen", wait: probeAgain,
		},
		"the policy would approve, and earlier executions did not help": {
			change: func(s *scene) { s.wfe.Spec.Approval, s.rails = v1alpha1.ApprovalAuto, "it did not help three times" },
			says:   "did not help", wait: lookAgain,
		},
		"the workflow changed": {
			change: func(s *scene) {
				s.workflow.Spec.Description = "deletes"
				s.decided("u", "ada", v1alpha1.VerdictApprove)
			},
			phase: v1alpha1.ExecutionInvalidated, event: invalidated, says: "workflow restart changed",
		},
		"the workflow is gone": {
			change: func(s *scene) { s.workflow = nil },
			phase:  v1alpha1.ExecutionInvalidated, event: invalidated, says: "workflow restart is gone",
		},
		"the target changed": {
			change: func(s *scene) { *s.target.Spec.Replicas++ },
			phase:  v1alpha1.ExecutionInvalidated, event: invalidated, says: "Deployment web changed",
		},
		"the target is another object": {
			change: func(s *scene) { s.target.UID = "web-2" },
			phase:  v1alpha1.ExecutionInvalidated, event: invalidated, says: "is another object",
		},
		"the target is gone": {
			change: func(s *scene) { s.target = nil },
			phase:  v1alpha1.ExecutionInvalidated, event: invalidated, says: "Deployment web is gone",
		},
		"the admission policies were replaced": {
			change: func(s *scene) {
				s.server.objects[0].SetUID("other")
				s.decided("u", "ada", v1alpha1.VerdictApprove)
			},
			phase: v1alpha1.ExecutionInvalidated, event: invalidated, says: "they were replaced",
		},
		"an admission policy is missing": {
			change: func(s *scene) {
				s.server.objects = s.server.objects[1:]
				s.decided("u", "ada", v1alpha1.VerdictApprove)
			},
			phase: v1alpha1.ExecutionInvalidated, event: invalidated, says: "is missing",
		},
		"an admission policy was missing from the beginning": {
			change: func(s *scene) {
				s.wfe.Spec.Admission, s.server.objects = "", s.server.objects[1:]
				s.decided("u", "ada", v1alpha1.VerdictApprove)
			},
			says: "decisions do not count", wait: lookAgain,
		},
		"the admission policies are younger than the proposal": {
			change: func(s *scene) {
				s.wfe.Spec.Admission = ""
				s.decided("u", "ada", v1alpha1.VerdictApprove)
			},
			phase: v1alpha1.ExecutionInvalidated, event: invalidated, says: "younger than the proposal",
		},
		"a forged decision is not refused": {
			change: func(s *scene) {
				s.server.answer = nil
				s.decided("u", "ada", v1alpha1.VerdictApprove)
			},
			says: "accepted a decision in another's name", wait: probeAgain,
		},
		"a forged decision is never refused": {
			change: func(s *scene) {
				s.server.answer = nil
				s.decided("u", "ada", v1alpha1.VerdictReject)
				s.now = s.wfe.Spec.ExpiresAt.Time
			},
			phase: v1alpha1.ExecutionExpired, event: expired, says: "nobody decided",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if test.change != nil {
				test.change(s)
			}
			var recorded events
			wait, err := s.stage(t, &recorded).Advance(t.Context(), s.wfe)
			if err != nil || s.wfe.Status.Phase != test.phase || recorded.types() != test.event || !strings.Contains(s.wfe.Status.Message, test.says) {
				t.Errorf("phase %q, events %q, message %q, error %v", s.wfe.Status.Phase, recorded.types(), s.wfe.Status.Message, err)
			}
			if s.wfe.Status.Phase == "" && wait != test.wait {
				t.Errorf("looks again after %s, want %s", wait, test.wait)
			}
		})
	}
}

func TestPeopleAreRemindedOnceHalfOfTheTimeIsOver(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for i, test := range []struct {
		after time.Duration
		want  string
	}{
		{30*time.Minute - 1, "[]"}, {30 * time.Minute, "[waits]"}, {31 * time.Minute, "[waits still]"}, {time.Hour, "[waits still over]"},
	} {
		at := newScene(t)
		at.now = at.now.Add(test.after)
		at.wfe.Status, at.reminded = s.wfe.Status, s.reminded
		if _, err := at.stage(t, &events{}).Advance(t.Context(), at.wfe); err != nil {
			t.Fatal(err)
		}
		s = at
		if got := fmt.Sprint([]string(s.reminded)); got != test.want {
			t.Errorf("look %d: %s, want %s", i, got, test.want)
		}
	}
	if at := s.wfe.Status.ReminderSentAt; at == nil || !at.Time.Equal(s.wfe.CreationTimestamp.Add(30*time.Minute)) {
		t.Errorf("sent at %v", at)
	}
}

func TestPeopleAreToldOfTheEndOfWhatTheyWereRemindedOf(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*scene)
		want   int
	}{
		"a decision":                  {func(s *scene) { s.decided("u", "ada", v1alpha1.VerdictReject) }, 1},
		"a target that changed":       {func(s *scene) { s.target.UID = "web-2" }, 1},
		"a decision without reminder": {func(s *scene) { s.wfe.Status.ReminderSentAt = nil; s.decided("u", "ada", v1alpha1.VerdictReject) }, 0},
	} {
		s := newScene(t)
		at := metav1.NewMicroTime(s.now)
		s.wfe.Status.ReminderSentAt = &at
		test.change(s)
		if _, err := s.stage(t, &events{}).Advance(t.Context(), s.wfe); err != nil || !s.wfe.Status.Phase.Terminal() || len(s.reminded) != test.want {
			t.Errorf("%s: phase %s, error %v, %v", name, s.wfe.Status.Phase, err, s.reminded)
		}
	}
}

func TestAStatusShowsNothingThatIsNotOnTheTrail(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.decided("u", "ada", v1alpha1.VerdictApprove)
	stage := s.stage(t, &events{})
	stage.Audit = full{}
	if _, err := stage.Advance(t.Context(), s.wfe); !errors.Is(err, audit.ErrFull) || s.wfe.Status.Phase != "" || s.wfe.Status.Approval != nil {
		t.Errorf("error %v, status %+v", err, s.wfe.Status)
	}
}

// full is a store that takes nothing.
type full struct{}

func (full) Record(context.Context, *audit.Event) error { return audit.ErrFull }

// Whoever removes a policy, decides in another's name, and is looked at in between must not win.
func TestADecisionIsNotYoungerThanTheLookAtThePolicies(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.decided("u", "ada", v1alpha1.VerdictApprove)
	policy := s.server.objects[0]
	s.server.reading = func(c client.Client) {
		if err := c.Delete(t.Context(), policy); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
	if _, err := s.stage(t, &events{}).Advance(t.Context(), s.wfe); err != nil || s.wfe.Status.Phase != v1alpha1.ExecutionInvalidated {
		t.Errorf("phase %q, error %v", s.wfe.Status.Phase, err)
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	person := &v1alpha1.ExecutionApproval{By: []v1alpha1.Decider{{Name: "ada"}}}
	for name, test := range map[string]struct {
		change func(*scene)
		says   string
	}{
		"the approval counts":              {func(s *scene) { s.wfe.Status.Approval = person }, ""},
		"nobody approved":                  {func(*scene) {}, "nobody approved"},
		"it was followed by a rejection":   {func(s *scene) { s.wfe.Status.Approval = person; s.decided("u-2", "bob", v1alpha1.VerdictReject) }, "followed by a rejection"},
		"the admission policies changed":   {func(s *scene) { s.wfe.Status.Approval = person; s.server.objects[0].SetGeneration(7) }, "changed"},
		"an admission policy is missing":   {func(s *scene) { s.wfe.Status.Approval = person; s.server.objects = s.server.objects[1:] }, "is missing"},
		"a forged decision is not refused": {func(s *scene) { s.wfe.Status.Approval = person; s.server.answer = nil }, "accepted"},
		"the policy approved": {func(s *scene) {
			s.wfe.Status.Approval, s.wfe.Spec.Approval = &v1alpha1.ExecutionApproval{}, v1alpha1.ApprovalAuto
		}, ""},
		"the target is elsewhere":    {func(s *scene) { s.wfe.Status.Approval = person; s.wfe.Spec.Target.Namespace = "till" }, "another namespace"},
		"the policy may not approve": {func(s *scene) { s.wfe.Status.Approval = &v1alpha1.ExecutionApproval{} }, "needs a person"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.decided("u", "ada", v1alpha1.VerdictApprove)
			test.change(s)
			why, err := s.stage(t, &events{}).Counts(t.Context(), s.wfe)
			if err != nil || !strings.Contains(why, test.says) || (why == "") != (test.says == "") {
				t.Errorf("why %q, error %v, want %q", why, err, test.says)
			}
		})
	}
}

// accounts answer as one client.
type accounts struct {
	client client.Client
	err    error
}

func (a accounts) Client(context.Context, string, types.UID) (client.Client, error) {
	return a.client, a.err
}
