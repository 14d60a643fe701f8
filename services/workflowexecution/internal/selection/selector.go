package selection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/executions"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
	"kubernaut.ai/services/workflowexecution/internal/plan"
	"kubernaut.ai/services/workflowexecution/internal/requests"
)

// Planner makes plans. *plan.Planner implements it.
type Planner interface {
	Make(ctx context.Context, wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter, at time.Time) (plan.Plan, error)
}

// Rails tell whether a person has to decide. *guardrail.GuardRails implements it.
type Rails interface {
	// Disappointed says why everything that is proposed about the request needs a person; empty
	// if it does not.
	Disappointed(ctx context.Context, rr *v1alpha1.RemediationRequest) (why string, err error)
}

// Parts are the dependencies of a Selector. All are required.
type Parts struct {
	// Live reads from the API server, Cached from the informers.
	Live, Cached client.Reader
	Writer       client.Client
	// Policies returns the policies in force, which may be others at the next call.
	Policies func() *policy.Set
	Planner  Planner
	// Admission is a digest of the admission policies on decisions; why says what is wrong with
	// them, and is empty if they are what the platform ships.
	Admission func(ctx context.Context) (digest, why string, err error)
	Rails     Rails
	Audit     auditevents.Recorder
	Metrics   *metrics.Metrics
	Clock     clock.PassiveClock
	Log       *zap.Logger
}

// Options of a Selector.
type Options struct {
	Mode Mode
	// WorkflowsNamespace, PlatformNamespace and DatabaseNamespace are never remediated.
	WorkflowsNamespace, PlatformNamespace, DatabaseNamespace string
	// ClusterNames are this cluster's names in the labels of signals.
	ClusterNames []string
	// Expiry is how long a proposal waits for a decision.
	Expiry time.Duration
	// Deadline of one policy decision.
	Deadline time.Duration
}

// Selector selects workflows and makes proposals. It is safe for concurrent use.
type Selector struct {
	Parts

	options Options
}

// New makes a Selector.
func New(parts Parts, o Options) *Selector { return &Selector{Parts: parts, options: o} }

// Select selects a workflow for a classified request; see requests.Selector.
func (s *Selector) Select(ctx context.Context, rr *v1alpha1.RemediationRequest) (requests.Selected, error) {
	var found *situation
	var err error
	var reading sync.WaitGroup
	reading.Go(func() { found, err = s.look(ctx, rr) })
	made, unknown := s.made(ctx, rr, executions.NextName(rr))
	if reading.Wait(); made != nil || unknown != nil {
		return requests.Selected{Execution: made}, unknown
	}
	if why, ok := errors.AsType[*noneError](err); ok {
		return requests.Selected{Reason: why.reason, Message: why.message}, nil
	}
	if err != nil {
		return requests.Selected{}, err
	}
	choice, parameters, err := s.choose(ctx, rr, found)
	if err == nil {
		var made *v1alpha1.WorkflowExecution
		if made, err = s.propose(ctx, rr, found, choice, parameters, ""); err == nil {
			return requests.Selected{Execution: made}, nil
		}
	}
	if why, ok := errors.AsType[*noneError](err); ok {
		return requests.Selected{Reason: why.reason, Message: why.message}, nil
	}
	return requests.Selected{}, err
}

// Propose proposes a workflow without asking the policy, as the answer to an execution that did
// not help. A person decides. What cannot be proposed is logged: the request waits for a person
// anyway.
func (s *Selector) Propose(ctx context.Context, rr *v1alpha1.RemediationRequest, workflow, rollbackOf string) error {
	if made, err := s.made(ctx, rr, executions.NextName(rr)); made != nil || err != nil {
		return err
	}
	err := s.proposeRollback(ctx, rr, workflow, rollbackOf)
	if why, ok := errors.AsType[*noneError](err); ok {
		s.Log.Warn("a rollback cannot be proposed", zap.String("namespace", rr.Namespace), zap.String("request", rr.Name),
			zap.String("workflow", workflow), zap.String("why", why.message), zap.String("remedy", "decide on the request by hand"))
		return nil
	}
	return err
}

func (s *Selector) proposeRollback(ctx context.Context, rr *v1alpha1.RemediationRequest, workflow, rollbackOf string) error {
	found, err := s.look(ctx, rr)
	if err != nil {
		return err
	}
	wf := found.workflow(workflow)
	if wf == nil {
		return nonef(v1alpha1.ReasonNoWorkflow, "workflow %s does not apply here, or is not valid", workflow)
	}
	parameters, err := catalog.ResolveParameters(&wf.Spec, nil)
	if err != nil {
		return nonef(v1alpha1.ReasonNoWorkflow, "workflow %s: %v", workflow, err)
	}
	choice := auditevents.Choice{Workflow: workflow, Approval: string(v1alpha1.ApprovalRequired), Reason: "execution " + rollbackOf + " did not help"}
	e, err := auditevents.Selected(rr, choice, auditevents.Evidence{}, rollbackOf)
	if err := auditevents.Record(ctx, s.Audit, e, err); err != nil {
		return err
	}
	_, err = s.propose(ctx, rr, found, choice, parameters, rollbackOf)
	return err
}

// made is the proposal that an earlier attempt at the same selection has made, nil if none.
func (s *Selector) made(ctx context.Context, rr *v1alpha1.RemediationRequest, name string) (*v1alpha1.WorkflowExecution, error) {
	wfe := &v1alpha1.WorkflowExecution{}
	key := client.ObjectKey{Namespace: rr.Namespace, Name: name}
	err := s.Live.Get(ctx, key, wfe)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, fmt.Errorf("read WorkflowExecution %s: %w", key, err)
	case wfe.Spec.Request.UID != rr.UID:
		return nil, fmt.Errorf("WorkflowExecution %s is about another request: delete it", key)
	}
	return wfe, nil
}

// noneError says why nothing is proposed; a person has to look.
type noneError struct{ reason, message string }

func (e *noneError) Error() string { return e.message }

func nonef(reason, format string, args ...any) error {
	return &noneError{reason: reason, message: fmt.Sprintf(format, args...)}
}
