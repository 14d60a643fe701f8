package approval

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/executions"
	"kubernaut.ai/services/workflowexecution/internal/reminder"
)

// lookAgain bounds how long a change of the target, the workflow or the policies goes unnoticed.
const lookAgain = time.Minute

// probeAgain is when a decision is looked at again that does not count yet, because the API
// server did not refuse a forged one.
const probeAgain = 10 * time.Second

// reasonAdmission is the reason of a proposal whose decisions the admission policies do not protect.
const reasonAdmission = "AdmissionPolicy"

// reasonPerson is the reason of a proposal that the policy may not approve.
const reasonPerson = "PersonRequired"

// maxMessage is the longest message of a status, in characters.
const maxMessage = 1024

// Plans tells what a plan would be now.
type Plans interface {
	Digest(ctx context.Context, wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter, execution types.UID) (string, error)
}

// Rails tell whether a person has to decide although the policy approves.
type Rails interface {
	RequiresPerson(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (why string, err error)
}

// Reminder reminds people of a proposal that waits.
type Reminder interface {
	// Remind is called at each look at the proposal once half of its time is over.
	Remind(wfe *v1alpha1.WorkflowExecution, first bool)
	// Settled is called when a proposal of which people were reminded ends.
	Settled(wfe *v1alpha1.WorkflowExecution)
}

// Parts are the dependencies of a Stage. All are required.
type Parts struct {
	Live           client.Reader
	Guard          *Guard
	Plans          Plans
	WorkflowDigest func(*v1alpha1.RemediationWorkflowSpec) (string, error)
	Rails          Rails
	Reminder       Reminder
	Audit          auditevents.Recorder
	// Namespace of workflows.
	Namespace string
	// FourEyes: workflows of high risk need two persons.
	FourEyes bool
	Clock    clock.PassiveClock
}

// Stage takes executions through the phase Proposed. It is stateless.
type Stage struct {
	Parts
}

// New makes a Stage.
func New(parts Parts) *Stage { return &Stage{Parts: parts} }

// Advance ends a proposal that no longer fits or has expired, and acts on a decision.
func (s *Stage) Advance(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
	again, err := s.advance(ctx, wfe)
	if err == nil && wfe.Status.ReminderSentAt != nil && executions.PhaseOf(wfe) != v1alpha1.ExecutionProposed {
		s.Reminder.Settled(wfe)
	}
	return again, err
}

// Counts says why the approval of an execution does not count any more; it is empty if it does.
func (s *Stage) Counts(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (string, error) {
	if wfe.Status.Approval == nil {
		return "nobody approved it", nil
	}
	if wfe.Spec.Target.Namespace != wfe.Namespace {
		return "the target is in another namespace than the execution", nil
	}
	if len(wfe.Status.Approval.By) == 0 {
		if wfe.Spec.Approval != v1alpha1.ApprovalAuto {
			return "it needs a person, and none approved it", nil
		}
		return "", nil // whether a person has to decide is a guard rail of the start
	}
	found, err := s.find(ctx, wfe)
	if err != nil {
		return "", err
	}
	snapshot, why, err := s.Guard.Snapshot(ctx)
	if err != nil || why != "" {
		return why, err
	}
	if snapshot != wfe.Spec.Admission {
		return "the admission policies on decisions changed", nil
	}
	if s.judge(wfe, found).verdict != v1alpha1.VerdictApprove {
		return "its approval is missing, or was followed by a rejection", nil
	}
	return s.Guard.Probe(ctx)
}

func (s *Stage) advance(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
	var seen decisions
	var reading sync.WaitGroup
	if wfe.Spec.Approval != v1alpha1.ApprovalNone {
		reading.Go(func() { seen = s.read(ctx, wfe) })
	}
	why, err := s.changed(ctx, wfe)
	if reading.Wait(); err != nil || why != "" {
		return 0, s.invalidate(ctx, wfe, "Changed", why, err)
	}
	if wfe.Spec.Approval == v1alpha1.ApprovalNone {
		return lookAgain, nil
	}
	if wfe.Spec.GuardRail != "" {
		meta.SetStatusCondition(&wfe.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionGuardRail, Status: metav1.ConditionTrue, ObservedGeneration: wfe.Generation,
			Reason: wfe.Spec.GuardRail, Message: wfe.Spec.ApprovalReason,
		})
	}
	wait, err := s.decide(ctx, wfe, seen)
	if err != nil || executions.PhaseOf(wfe) != v1alpha1.ExecutionProposed {
		return 0, err
	}
	now := s.Clock.Now()
	left := wfe.Spec.ExpiresAt.Sub(now)
	if left <= 0 {
		return 0, s.expire(ctx, wfe)
	}
	return min(wait, left, s.remind(wfe, now)), nil
}

// remind reminds people once half of the time for a decision is over. The duration is when to
// look again.
func (s *Stage) remind(wfe *v1alpha1.WorkflowExecution, now time.Time) time.Duration {
	if due := reminder.Due(wfe).Sub(now); due > 0 {
		return due
	}
	first := wfe.Status.ReminderSentAt == nil
	if first {
		at := metav1.NewMicroTime(now)
		wfe.Status.ReminderSentAt = &at
	}
	s.Reminder.Remind(wfe, first)
	return lookAgain
}

// decisions are what was decided, and the admission policies after that; see Guard.Snapshot.
type decisions struct {
	found         []v1alpha1.RemediationApproval
	snapshot, why string
	err           error
}

// read reads the decisions first: what is younger than the look at the policies, they may not have
// protected.
func (s *Stage) read(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (seen decisions) {
	if seen.found, seen.err = s.find(ctx, wfe); seen.err == nil {
		seen.snapshot, seen.why, seen.err = s.Guard.Snapshot(ctx)
	}
	return seen
}

// decide acts on a decision, if there is one that counts, or on the policy's approval. The
// duration is when to look again at the latest if there is none.
func (s *Stage) decide(ctx context.Context, wfe *v1alpha1.WorkflowExecution, seen decisions) (time.Duration, error) {
	if seen.err != nil {
		return 0, seen.err
	}
	found, snapshot, why := seen.found, seen.snapshot, seen.why
	switch {
	case wfe.Spec.Admission == "" && why == "":
		return 0, s.invalidate(ctx, wfe, reasonAdmission, "the admission policies on decisions are younger than the proposal", nil)
	case wfe.Spec.Admission == "":
		wait(wfe, reasonAdmission, "decisions do not count: "+why)
	case snapshot != wfe.Spec.Admission:
		return 0, s.invalidate(ctx, wfe, reasonAdmission, "the admission policies on decisions changed: "+cmp.Or(why, "they were replaced"), nil)
	default:
		if d := s.judge(wfe, found); d.verdict != "" {
			return probeAgain, s.act(ctx, wfe, d)
		}
	}
	if wfe.Spec.Approval != v1alpha1.ApprovalAuto || len(found) > 0 {
		return lookAgain, nil
	}
	required, err := s.Rails.RequiresPerson(ctx, wfe)
	if err != nil {
		return 0, fmt.Errorf("check whether a person has to decide: %w", err)
	}
	if required == "" {
		return 0, s.approve(ctx, wfe, nil, wfe.Spec.ApprovalReason)
	}
	wait(wfe, reasonPerson, required)
	return lookAgain, nil
}

// wait shows why a proposal is not decided yet.
func wait(wfe *v1alpha1.WorkflowExecution, reason, message string) {
	wfe.Status.Reason, wfe.Status.Message = reason, wire.TruncateCharacters(message, maxMessage)
}

// changed says how the target or the workflow is not what was proposed.
func (s *Stage) changed(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (string, error) {
	wf := &v1alpha1.RemediationWorkflow{}
	t := &wfe.Spec.Target
	target := &unstructured.Unstructured{}
	target.SetAPIVersion(t.APIVersion)
	target.SetKind(t.Kind)
	var missing error // of the target
	var reading sync.WaitGroup
	reading.Go(func() { missing = s.Live.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Name}, target) })
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: wfe.Spec.Workflow.Name}, wf)
	reading.Wait()
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("workflow %s is gone", wfe.Spec.Workflow.Name), nil
	}
	if err != nil {
		return "", fmt.Errorf("read workflow %s: %w", wfe.Spec.Workflow.Name, err)
	}
	digest, err := s.WorkflowDigest(&wf.Spec)
	if err != nil {
		return "", err
	}
	if digest != wfe.Spec.Workflow.SHA256 {
		return fmt.Sprintf("workflow %s changed", wf.Name), nil
	}
	switch {
	case apierrors.IsNotFound(missing):
		return fmt.Sprintf("%s %s is gone", t.Kind, t.Name), nil
	case missing != nil:
		return "", fmt.Errorf("read %s %s/%s: %w", t.Kind, t.Namespace, t.Name, missing)
	case target.GetUID() != t.UID:
		return fmt.Sprintf("%s %s is another object", t.Kind, t.Name), nil
	}
	digest, err = s.Plans.Digest(ctx, wf, target, wfe.Spec.Parameters, wfe.UID)
	if err != nil {
		return "", fmt.Errorf("digest of the plan: %w", err)
	}
	if digest != wfe.Spec.PlanDigest {
		return fmt.Sprintf("%s %s changed in what the plan depends on", t.Kind, t.Name), nil
	}
	return "", nil
}

func (s *Stage) invalidate(ctx context.Context, wfe *v1alpha1.WorkflowExecution, reason, why string, err error) error {
	if err != nil {
		return err
	}
	e, err := auditevents.Invalidated(wfe, reason, why)
	if err := auditevents.Record(ctx, s.Audit, e, err); err != nil {
		return err
	}
	wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message = v1alpha1.ExecutionInvalidated, reason, why
	return nil
}

func (s *Stage) expire(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	e, err := auditevents.ExecutionExpired(wfe)
	if err := auditevents.Record(ctx, s.Audit, e, err); err != nil {
		return err
	}
	wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message = v1alpha1.ExecutionExpired, "Expired", "nobody decided in time"
	return nil
}

func (s *Stage) approve(ctx context.Context, wfe *v1alpha1.WorkflowExecution, by []v1alpha1.Decider, reason string) error {
	e, err := auditevents.ExecutionDecided(wfe, v1alpha1.VerdictApprove, by, reason)
	if err := auditevents.Record(ctx, s.Audit, e, err); err != nil {
		return err
	}
	wfe.Status.Approval = &v1alpha1.ExecutionApproval{By: by, At: metav1.NewMicroTime(s.Clock.Now()), Reason: reason}
	wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message = v1alpha1.ExecutionApproved, "Approved", ""
	return nil
}
