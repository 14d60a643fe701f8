package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
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
	found, err := s.read(ctx, wfe)
	if err != nil || found == nil {
		return 0, err
	}
	// What the status does not show yet, no later event says: after a crash the repetition records
	// the same events.
	first := wfe.Status.Verification == nil
	if first {
		// It starts when the execution is over, whenever that is seen.
		wfe.Status.Verification = &v1alpha1.ExecutionVerification{StartedAt: *wfe.Status.FinishedAt}
		if err := s.record(ctx, wfe)(auditevents.VerificationStarted(wfe, wfe.Status.FinishedAt.Add(s.options.ResolveTimeout))); err != nil {
			return 0, err
		}
	}
	seen, err := s.look(ctx, found.request, wfe.Status.FinishedAt.Time)
	if err != nil {
		return 0, err
	}
	known := wfe.Status.Verification.ResolvedAt != nil
	v, err := s.judge(ctx, wfe, found, seen)
	switch resolved := wfe.Status.Verification.ResolvedAt != nil; {
	case err != nil:
		return 0, err
	case v.outcome != "" && resolved && !known:
		v = waiting(seen.now, "every instance has resolved")
	case v.outcome != "" && first:
		v = waiting(seen.now, "verification has begun")
	}
	if v.outcome == "" {
		wfe.Status.Verification.Message = shorten(v.message)
		return min(max(v.again.Sub(seen.now), time.Millisecond), interval), nil
	}
	return 0, s.end(ctx, wfe, found, seen, v)
}

// judge decides by the signal and the condition.
func (s *Stage) judge(ctx context.Context, wfe *v1alpha1.WorkflowExecution, found *evidence, seen *sighting) (verdict, error) {
	verification := wfe.Status.Verification
	known := verification.ResolvedAt != nil
	var stabilization time.Duration
	if found.workflow != nil {
		stabilization = found.workflow.Spec.Stabilization.Duration
	}
	v := seen.alerts(verification, s.options.ResolveTimeout, stabilization)
	switch {
	case verification.ResolvedAt == nil, v.outcome != "" && v.outcome != v1alpha1.OutcomeEffective:
		return v, nil
	case v.outcome != "" && !known:
		return v, nil // that it has resolved is shown first, and the condition looked at then
	}
	if found.workflow == nil {
		return ended(v1alpha1.OutcomeInconclusive, "the workflow %s was changed or deleted since the execution, so its condition is unknown", wfe.Spec.Workflow.Name), nil
	}
	if !known {
		s.readTarget(ctx, wfe, found)
	}
	if found.unread != nil {
		return verdict{}, found.unread
	}
	failed, err := s.condition(ctx, wfe, found)
	if err != nil || failed != nil {
		if failed == nil {
			failed = &verdict{}
		}
		return *failed, err
	}
	return v, nil
}

// condition returns the verdict if the workflow's condition does not hold, and nil if it does.
func (s *Stage) condition(ctx context.Context, wfe *v1alpha1.WorkflowExecution, found *evidence) (*verdict, error) {
	workflow, target := found.workflow, found.target
	if target.GetUID() != wfe.Spec.Target.UID {
		if workflow.Spec.Verification.TargetMayBeDeleted {
			return nil, nil //nolint:nilnil // the alerts alone decide
		}
		v := ended(v1alpha1.OutcomeInconclusive, "%s %s is gone, so the condition of the workflow cannot be evaluated", wfe.Spec.Target.Kind, wfe.Spec.Target.Name)
		return &v, nil
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

// end records the outcome, proposes the rollback, and shows the outcome.
func (s *Stage) end(ctx context.Context, wfe *v1alpha1.WorkflowExecution, found *evidence, seen *sighting, v verdict) error {
	if v.timedOut {
		if names, unlisted := seen.unknown(s.options.StaleAfter); len(names) > 0 || unlisted > 0 {
			if err := s.record(ctx, wfe)(auditevents.InstancesUnknown(wfe, names, unlisted, s.options.StaleAfter)); err != nil {
				return err
			}
		}
	}
	rollback := ""
	// A rollback that did not help is not answered with another one.
	if v.outcome == v1alpha1.OutcomeIneffective && found.workflow != nil && wfe.Spec.RollbackOf == "" {
		rollback = found.workflow.Spec.Rollback
	}
	if err := s.record(ctx, wfe)(auditevents.VerificationEnded(wfe, s.watched(wfe, seen), auditevents.Verdict{
		Outcome: v.outcome, Message: v.message, Rollback: rollback,
	})); err != nil {
		return err
	}
	if rollback != "" && s.Proposer != nil {
		if err := s.Proposer.Propose(ctx, found.request, rollback, wfe.Name); err != nil {
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
