package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// interval is how often the condition, and objects that may be gone, are looked at. Changes of
// the request are looked at when they come.
const interval = 15 * time.Second

// maxMessage is the length of a message in a status, in characters.
const maxMessage = 1024

// Condition is the condition of a workflow. *catalog.Condition implements it.
type Condition interface {
	Holds(ctx context.Context, target, before *unstructured.Unstructured) (bool, error)
}

// Catalog knows workflows.
type Catalog interface {
	// Digest is the hex SHA-256 of a workflow's spec.
	Digest(spec *v1alpha1.RemediationWorkflowSpec) (string, error)
	// Condition compiles the condition of a workflow.
	Condition(expression string) (Condition, error)
}

// Proposer makes proposals. *selection.Selector implements it.
type Proposer interface {
	// Propose proposes a workflow because an execution did not help. A repetition changes nothing.
	Propose(ctx context.Context, rr *v1alpha1.RemediationRequest, workflow, rollbackOf string) error
}

// Parts are the dependencies of a Stage. All but Proposer are required.
type Parts struct {
	// Live reads from the API server.
	Live    client.Reader
	Audit   auditevents.Recorder
	Catalog Catalog
	// Proposer proposes rollbacks. Without one, they are only named on the trail.
	Proposer Proposer
	Clock    clock.PassiveClock
	Log      *zap.Logger
}

// Options of a Stage.
type Options struct {
	// Namespace of the workflows.
	Namespace string
	// ResolveTimeout is how long the instances may take to resolve, at least twice GroupInterval.
	ResolveTimeout time.Duration
	// GroupInterval is the longest group_interval of the senders: how late they tell that an
	// alert has resolved.
	GroupInterval time.Duration
	// StaleAfter is how long after its latest repeat an instance is unknown.
	StaleAfter time.Duration
}

// Stage takes executions through the phase Verifying. It is stateless.
type Stage struct {
	Parts

	options Options
}

// New makes a Stage.
func New(parts Parts, options Options) (*Stage, error) {
	switch {
	case options.Namespace == "":
		return nil, errors.New("the namespace of the workflows is required")
	case options.GroupInterval <= 0:
		return nil, fmt.Errorf("group interval %s: must be positive", options.GroupInterval)
	case options.ResolveTimeout < 2*options.GroupInterval:
		return nil, fmt.Errorf("resolve timeout %s: must be at least twice the group interval, %s, because senders tell that late that an alert has resolved",
			options.ResolveTimeout, 2*options.GroupInterval)
	case options.StaleAfter <= 0:
		return nil, fmt.Errorf("instances unknown after %s: must be positive", options.StaleAfter)
	}
	return &Stage{Parts: parts, options: options}, nil
}

// Advance looks at the world once; see executions.Stage.
func (s *Stage) Advance(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
	if wfe.Status.Phase != v1alpha1.ExecutionVerifying {
		return 0, fmt.Errorf("execution %s is %s: nothing to verify", client.ObjectKeyFromObject(wfe), wfe.Status.Phase)
	}
	if wfe.Status.FinishedAt == nil {
		return 0, fmt.Errorf("execution %s is Verifying, but its status does not say when it was over", client.ObjectKeyFromObject(wfe))
	}
	rr := &v1alpha1.RemediationRequest{}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: wfe.Namespace, Name: wfe.Spec.Request.Name}, rr)
	switch {
	case apierrors.IsNotFound(err):
		return 0, nil // the execution goes with its request
	case err != nil:
		return 0, fmt.Errorf("read the request of execution %s: %w", client.ObjectKeyFromObject(wfe), err)
	case rr.UID != wfe.Spec.Request.UID:
		return 0, nil
	}
	if wfe.Status.Verification == nil {
		// It starts when the execution is over, whenever that is seen: a repetition after a crash
		// records the same event. The start is shown before anything else.
		wfe.Status.Verification = &v1alpha1.ExecutionVerification{StartedAt: *wfe.Status.FinishedAt, Message: "verification has begun"}
		return time.Millisecond, s.record(ctx, wfe)(auditevents.VerificationStarted(wfe, wfe.Status.FinishedAt.Add(s.options.ResolveTimeout)))
	}
	seen, err := s.look(ctx, rr, wfe.Status.FinishedAt.Time)
	if err != nil {
		return 0, err
	}
	workflow, err := s.workflow(ctx, wfe)
	if err != nil {
		return 0, err
	}
	known := wfe.Status.Verification.ResolvedAt != nil
	v, err := s.judge(ctx, wfe, workflow, seen)
	if err != nil {
		return 0, err
	}
	if v.outcome != "" && !known && wfe.Status.Verification.ResolvedAt != nil {
		// When it resolved is shown before an event says it: a repetition after a crash records
		// the same event.
		v = waiting(seen.now, "every instance has resolved")
	}
	if v.outcome == "" {
		wfe.Status.Verification.Message = shorten(v.message)
		return min(max(v.again.Sub(seen.now), time.Millisecond), interval), nil
	}
	return 0, s.end(ctx, wfe, rr, workflow, seen, v)
}

// judge decides by the signal and the condition. workflow is nil if it is not what was executed.
func (s *Stage) judge(ctx context.Context, wfe *v1alpha1.WorkflowExecution, workflow *v1alpha1.RemediationWorkflow, seen *sighting) (verdict, error) {
	verification := wfe.Status.Verification
	var stabilization time.Duration
	if workflow != nil {
		stabilization = workflow.Spec.Stabilization.Duration
	}
	v := seen.alerts(verification, s.options.ResolveTimeout, stabilization)
	if verification.ResolvedAt == nil || (v.outcome != "" && v.outcome != v1alpha1.OutcomeEffective) {
		return v, nil
	}
	if workflow == nil {
		return ended(v1alpha1.OutcomeInconclusive, "the workflow %s was changed or deleted since the execution, so its condition is unknown", wfe.Spec.Workflow.Name), nil
	}
	failed, err := s.condition(ctx, wfe, workflow)
	if err != nil || failed != nil {
		if failed == nil {
			failed = &verdict{}
		}
		return *failed, err
	}
	return v, nil
}

// condition returns the verdict if the workflow's condition does not hold, and nil if it does.
func (s *Stage) condition(ctx context.Context, wfe *v1alpha1.WorkflowExecution, workflow *v1alpha1.RemediationWorkflow) (*verdict, error) {
	target := &unstructured.Unstructured{}
	target.SetAPIVersion(wfe.Spec.Target.APIVersion)
	target.SetKind(wfe.Spec.Target.Kind)
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: wfe.Spec.Target.Namespace, Name: wfe.Spec.Target.Name}, target)
	switch {
	case apierrors.IsNotFound(err), err == nil && target.GetUID() != wfe.Spec.Target.UID:
		if workflow.Spec.Verification.TargetMayBeDeleted {
			return nil, nil //nolint:nilnil // the alerts alone decide
		}
		v := ended(v1alpha1.OutcomeInconclusive, "%s %s is gone, so the condition of the workflow cannot be evaluated", wfe.Spec.Target.Kind, wfe.Spec.Target.Name)
		return &v, nil
	case err != nil:
		return nil, fmt.Errorf("read the target of execution %s: %w", client.ObjectKeyFromObject(wfe), err)
	}
	before, err := beforeOf(wfe)
	if err != nil {
		return nil, err
	}
	holds := false
	compiled, err := s.Catalog.Condition(workflow.Spec.Verification.Condition)
	if err == nil {
		holds, err = compiled.Holds(ctx, target, before)
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("evaluate the condition of workflow %s: %w", workflow.Name, ctx.Err())
	case err != nil:
		v := ended(v1alpha1.OutcomeInconclusive, "the condition of workflow %s cannot be evaluated: %v", workflow.Name, err)
		return &v, nil
	case !holds:
		v := ended(v1alpha1.OutcomeIneffective, "the condition of workflow %s does not hold: %s", workflow.Name, workflow.Spec.Verification.Condition)
		return &v, nil
	}
	return nil, nil //nolint:nilnil // it holds
}

// beforeOf is the target before the execution: what the status says, or else its identity.
func beforeOf(wfe *v1alpha1.WorkflowExecution) (*unstructured.Unstructured, error) {
	before := &unstructured.Unstructured{Object: map[string]any{}}
	if wfe.Status.Before != "" {
		if err := json.Unmarshal([]byte(wfe.Status.Before), &before.Object); err != nil {
			return nil, fmt.Errorf("execution %s: status.before: %w", client.ObjectKeyFromObject(wfe), err)
		}
		return before, nil
	}
	target := &wfe.Spec.Target
	before.SetAPIVersion(target.APIVersion)
	before.SetKind(target.Kind)
	before.SetNamespace(target.Namespace)
	before.SetName(target.Name)
	before.SetUID(target.UID)
	before.SetGeneration(target.Generation)
	return before, nil
}

// workflow returns the workflow of an execution, or nil if it is not what was executed.
func (s *Stage) workflow(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (*v1alpha1.RemediationWorkflow, error) {
	workflow := &v1alpha1.RemediationWorkflow{}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.options.Namespace, Name: wfe.Spec.Workflow.Name}, workflow)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // it was deleted
	}
	if err != nil {
		return nil, fmt.Errorf("read the workflow of execution %s: %w", client.ObjectKeyFromObject(wfe), err)
	}
	digest, err := s.Catalog.Digest(&workflow.Spec)
	if err != nil {
		return nil, fmt.Errorf("workflow %s: %w", workflow.Name, err)
	}
	if digest != wfe.Spec.Workflow.SHA256 {
		return nil, nil //nolint:nilnil // it was changed
	}
	return workflow, nil
}

// end records the outcome, proposes the rollback, and shows the outcome.
func (s *Stage) end(
	ctx context.Context, wfe *v1alpha1.WorkflowExecution, rr *v1alpha1.RemediationRequest, workflow *v1alpha1.RemediationWorkflow, seen *sighting, v verdict,
) error {
	if v.timedOut {
		if names, unlisted := seen.unknown(s.options.StaleAfter); len(names) > 0 || unlisted > 0 {
			if err := s.record(ctx, wfe)(auditevents.InstancesUnknown(wfe, names, unlisted, s.options.StaleAfter)); err != nil {
				return err
			}
		}
	}
	rollback := ""
	// A rollback that did not help is not answered with another one.
	if v.outcome == v1alpha1.OutcomeIneffective && workflow != nil && wfe.Spec.RollbackOf == "" {
		rollback = workflow.Spec.Rollback
	}
	if err := s.record(ctx, wfe)(auditevents.VerificationEnded(wfe, s.watched(wfe, seen), auditevents.Verdict{
		Outcome: v.outcome, Message: v.message, Rollback: rollback,
	})); err != nil {
		return err
	}
	if rollback != "" && s.Proposer != nil {
		if err := s.Proposer.Propose(ctx, rr, rollback, wfe.Name); err != nil {
			return fmt.Errorf("propose the rollback %s of execution %s: %w", rollback, client.ObjectKeyFromObject(wfe), err)
		}
	}
	now, message := metav1.NewMicroTime(seen.now), shorten(v.message)
	status := &wfe.Status
	status.Phase, status.Outcome, status.Reason, status.Message = v1alpha1.ExecutionSucceeded, v.outcome, string(v.outcome), message
	status.Verification.FinishedAt, status.Verification.Message = &now, message
	s.Log.Info("verification ended", zap.String("namespace", wfe.Namespace), zap.String("execution", wfe.Name),
		zap.String("outcome", string(v.outcome)), zap.String("message", message))
	return nil
}

// record takes the result of a function that builds an event.
func (s *Stage) record(ctx context.Context, wfe *v1alpha1.WorkflowExecution) func(*audit.Event, error) error {
	return func(e *audit.Event, err error) error {
		if err == nil {
			err = s.Audit.Record(ctx, e)
		}
		if err != nil {
			return fmt.Errorf("record the verification of execution %s: %w", client.ObjectKeyFromObject(wfe), err)
		}
		return nil
	}
}

func (s *Stage) watched(wfe *v1alpha1.WorkflowExecution, seen *sighting) *auditevents.Watched {
	w := &auditevents.Watched{
		Deadline: wfe.Status.Verification.StartedAt.Add(s.options.ResolveTimeout), Firing: []string{}, Gone: append([]string{}, seen.gone...),
		Unlisted: seen.unlisted, LatestStart: seen.latestStart,
	}
	for i := range seen.firing {
		w.Firing = append(w.Firing, seen.firing[i].Name)
	}
	return w
}

func shorten(message string) string {
	if characters := []rune(message); len(characters) > maxMessage {
		return string(characters[:maxMessage])
	}
	return message
}
