package execute

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/plan"
)

// How long the stage waits before it looks again.
const (
	// retryDelay: something is missing that may come back at any moment.
	retryDelay = 5 * time.Second
	// again: the execution was changed, so the next look begins at once.
	again = time.Millisecond
	// jobInterval is how often a Job is looked at beside its watch.
	jobInterval = 5 * time.Second
	// recordTimeout bounds the wait until DataStorage has stored an event.
	recordTimeout = 5 * time.Second
)

// Recorder records events. *audit.Store implements it.
type Recorder interface {
	auditevents.Recorder

	RecordWith(ctx context.Context, e *audit.Event, durability audit.Durability) error
}

// Accounts makes clients that act as the service accounts of workflows.
type Accounts interface {
	Client(ctx context.Context, serviceAccount string, execution types.UID) (client.Client, error)
	Username(serviceAccount string) string
	Forget(execution types.UID)
}

// Rails are the guard rails and the Lease of the target's top owner.
type Rails interface {
	// Blocked says why the execution may not start now, and when to look again; "" if it may.
	// Without a time, a person has to decide on what the policy approved.
	Blocked(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (why string, retry time.Duration, err error)
	// Acquire takes the Lease for the execution, or renews it; false if another holds it.
	Acquire(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (bool, error)
	Release(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error
}

// Pause reads live whether executions are paused in a namespace.
type Pause interface {
	State(ctx context.Context, namespace string) (paused bool, why string)
}

// Decisions checks that the approval of an execution still counts.
type Decisions interface {
	// Counts says why the decision does not count any more, "" if it does.
	Counts(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (why string, err error)
}

// Logs reads the end of a Job's log.
type Logs interface {
	Tail(ctx context.Context, job *batchv1.Job) (string, error)
}

// Parts are the dependencies of a Stage. All are required.
type Parts struct {
	// Live reads from the API server, Writer writes with the service's own rights.
	Live      client.Reader
	Writer    client.Client
	Accounts  Accounts
	Planner   *plan.Planner
	Rails     Rails
	Pause     Pause
	Decisions Decisions
	Logs      Logs
	Audit     Recorder
	// Namespace of workflows and their Jobs.
	Namespace string
	Clock     clock.PassiveClock
	Log       *zap.Logger
}

// +kubebuilder:rbac:groups=kubernaut.ai,resources=workflowexecutions,verbs=get;patch
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationworkflows,verbs=get
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;create;delete;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=list
// +kubebuilder:rbac:groups="",resources=pods/log,verbs=get
// +kubebuilder:rbac:groups="",resources=serviceaccounts/token,verbs=create

// Stage takes executions through the phases Approved and Executing. It is stateless.
type Stage struct {
	Parts
}

// New makes a Stage.
func New(parts Parts) *Stage { return &Stage{Parts: parts} }

// Advance looks at the world once; see executions.Stage.
func (s *Stage) Advance(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (time.Duration, error) {
	switch wfe.Status.Phase {
	case v1alpha1.ExecutionApproved:
		return s.start(ctx, wfe)
	case v1alpha1.ExecutionExecuting:
		return s.execute(ctx, wfe)
	case "", v1alpha1.ExecutionProposed, v1alpha1.ExecutionVerifying, v1alpha1.ExecutionSucceeded, v1alpha1.ExecutionFailed,
		v1alpha1.ExecutionRejected, v1alpha1.ExecutionExpired, v1alpha1.ExecutionInvalidated:
	}
	return 0, fmt.Errorf("execution %s/%s is %s: nothing to execute", wfe.Namespace, wfe.Name, wfe.Status.Phase)
}

// stop is why a look ends without a step.
type stop struct {
	reason, message string
	// retry is when to look again; 0 if the execution cannot go on.
	retry time.Duration
}

// world is what a look has seen.
type world struct {
	workflow *v1alpha1.RemediationWorkflow
	// account acts as the workflow's service account; nil for a Job.
	account client.Client
	target  *unstructured.Unstructured
	// step is the write of an action, prepared for the target as it was read; nil for a Job.
	step *plan.Step
}

// errChanged reports that an execution was written since it was read: the next look
// begins with a live read, at the Lease.
func errChanged(wfe *v1alpha1.WorkflowExecution, cause error) error {
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "workflowexecutions"}
	return apierrors.NewConflict(resource, wfe.Name, cause) //nolint:wrapcheck // made here
}

var errWritten = errors.New("the execution was written since it was read")

// enter takes the Lease, and checks afterwards that the execution is what the caller has
// read: who is late must not act on an old state. Meanwhile it reads whether executions are paused.
func (s *Stage) enter(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (held bool, paused *stop, err error) {
	held, err = s.Rails.Acquire(ctx, wfe)
	if err != nil {
		return false, nil, fmt.Errorf("execution %s/%s: acquire the Lease: %w", wfe.Namespace, wfe.Name, err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { paused = s.paused(ctx, wfe) })
	err = s.unchanged(ctx, wfe)
	reading.Wait()
	return held, paused, err
}

func (s *Stage) unchanged(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	fresh := &metav1.PartialObjectMetadata{}
	fresh.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WorkflowExecution"))
	if err := s.Live.Get(ctx, client.ObjectKeyFromObject(wfe), fresh); err != nil {
		return fmt.Errorf("read execution %s/%s: %w", wfe.Namespace, wfe.Name, err)
	}
	if fresh.UID != wfe.UID || fresh.ResourceVersion != wfe.ResourceVersion {
		return errChanged(wfe, errWritten)
	}
	return nil
}

// wait shows why the execution does not go on.
func wait(wfe *v1alpha1.WorkflowExecution, why stop) time.Duration {
	wfe.Status.Reason, wfe.Status.Message = why.reason, limit(why.message)
	return why.retry
}

// fail ends the execution. Its event is recorded before; Inconclusive means that nobody
// knows whether the target was changed.
func (s *Stage) fail(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, e auditevents.Ended) (time.Duration, error) {
	if err := s.unchanged(ctx, wfe); err != nil {
		return 0, err
	}
	if w != nil && w.workflow != nil {
		e.Account = s.Accounts.Username(w.workflow.Spec.ServiceAccountName)
	}
	if e.GenerationBefore == 0 {
		e.GenerationBefore = wfe.Status.TargetGenerationBefore
	}
	if w != nil && w.target != nil {
		e.GenerationAfter = w.target.GetGeneration()
	}
	event, err := auditevents.ExecutionFailed(wfe, e)
	if err == nil {
		err = s.Audit.Record(ctx, event)
	}
	if err != nil {
		return 0, fmt.Errorf("execution %s/%s: record its failure: %w", wfe.Namespace, wfe.Name, err)
	}
	now := metav1.NewMicroTime(s.Clock.Now())
	wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message = v1alpha1.ExecutionFailed, e.Reason, limit(e.Message)
	wfe.Status.Outcome, wfe.Status.FinishedAt, wfe.Status.TargetGeneration = e.Outcome, &now, e.GenerationAfter
	return 0, s.leave(ctx, wfe)
}

// complete ends the execution's own work: what follows is the verification.
func (s *Stage) complete(ctx context.Context, wfe *v1alpha1.WorkflowExecution, e auditevents.Ended) (time.Duration, error) {
	if err := s.unchanged(ctx, wfe); err != nil {
		return 0, err
	}
	e.GenerationBefore = wfe.Status.TargetGenerationBefore
	event, err := auditevents.ExecutionCompleted(wfe, e)
	if err == nil {
		err = s.Audit.Record(ctx, event)
	}
	if err != nil {
		return 0, fmt.Errorf("execution %s/%s: record its completion: %w", wfe.Namespace, wfe.Name, err)
	}
	now := metav1.NewMicroTime(s.Clock.Now())
	wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message = v1alpha1.ExecutionVerifying, reasonExecuted, limit(e.Message)
	wfe.Status.FinishedAt, wfe.Status.TargetGeneration = &now, e.GenerationAfter
	return again, s.leave(ctx, wfe)
}

// leave gives up the Lease and the token.
func (s *Stage) leave(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	s.Accounts.Forget(wfe.UID)
	if err := s.Rails.Release(ctx, wfe); err != nil {
		return fmt.Errorf("execution %s/%s: release the Lease: %w", wfe.Namespace, wfe.Name, err)
	}
	return nil
}

// maxMessage is the longest message of a status, in bytes.
const maxMessage = 1024

func limit(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	end := maxMessage
	for end > 0 && text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end]
}

// The reasons that the stage gives in the status of an execution.
const (
	reasonLease            = v1alpha1.ReasonTargetBusy
	reasonRail             = v1alpha1.ReasonGuardRail
	reasonPaused           = v1alpha1.ReasonPaused
	reasonDecision         = "DecisionInvalid"
	reasonWorkflowChanged  = "WorkflowChanged"
	reasonTargetGone       = "TargetGone"
	reasonTargetChanged    = "TargetChanged"
	reasonNotApplicable    = "NotApplicable"
	reasonMissingRight     = "MissingRight"
	reasonRefused          = "Refused"
	reasonTrailUnavailable = v1alpha1.ReasonTrailUnavailable
	reasonStarted          = "Started"
	reasonExecuted         = "Executed"
	reasonTimedOut         = "TimedOut"
	reasonInconclusive     = "Inconclusive"
	reasonJobCreated       = "JobCreated"
	reasonJobFailed        = "JobFailed"
	reasonJobDeleted       = "JobDeleted"
	reasonJobForeign       = "ForeignJob"
)
