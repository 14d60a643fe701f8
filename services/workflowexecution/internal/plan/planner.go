package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// proposed is the mark of a dry run, whose execution does not exist yet.
const proposed = "proposed"

// Clients makes clients that act as the service account of a workflow.
type Clients interface {
	Client(ctx context.Context, serviceAccount string, execution types.UID) (client.Client, error)
}

// Options of a Planner. All are required.
type Options struct {
	Accounts Clients
	// Jobs is the service's own client, which creates Jobs.
	Jobs client.Client
	// Namespace of workflows and their Jobs.
	Namespace string
	// WorkflowDigest is the digest of a workflow's spec.
	WorkflowDigest func(*v1alpha1.RemediationWorkflowSpec) (string, error)
	// Redact removes secrets from the texts that people are shown, RedactObject from the objects that
	// the texts are made of, in place. Values that differ are still told apart.
	Redact       func(string) string
	RedactObject func(map[string]any)
	Clock        clock.PassiveClock
}

// Planner makes plans. It is stateless.
type Planner struct {
	Options
}

// New makes a Planner.
func New(o Options) *Planner { return &Planner{Options: o} }

// Plan is what a proposal shows, and what an approval refers to.
type Plan struct {
	// Change is the difference that the dry run shows, or the Job that will run, without
	// secrets, at most MaxChange bytes long.
	Change string
	// Digest is the hex SHA-256 of the plan.
	Digest string
}

// Make makes a plan, after a dry run with the rights of the workflow's account. at is the time
// that a restart carries: the plan is the same whenever it is made again. A *NotApplicableError
// says why the workflow cannot be applied to the target.
func (p *Planner) Make(
	ctx context.Context, wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter,
	at time.Time,
) (Plan, error) {
	if wf.Spec.Job != nil {
		return p.makeJob(ctx, wf, target, parameters)
	}
	c, err := p.Accounts.Client(ctx, wf.Spec.ServiceAccountName, "")
	if err != nil {
		return Plan{}, err //nolint:wrapcheck // names the account
	}
	step, err := p.Prepare(ctx, c, wf, target, parameters, at)
	if err != nil {
		return Plan{}, err
	}
	// The status of a target in trouble changes all the time: the version is not tested here.
	patch, err := step.change.patch(target, proposed, false)
	if err != nil {
		return Plan{}, err
	}
	after, err := step.send(ctx, c, patch, client.DryRunAll)
	if err != nil {
		return Plan{}, fmt.Errorf("dry run of workflow %s: %w", wf.Name, err)
	}
	text, err := p.difference(target, after)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Change: bound(p.Redact(text)), Digest: step.Digest}, nil
}

// Digest is the digest of the plan that Make would make now, without a dry run, with the token of the
// execution whose plan it is.
func (p *Planner) Digest(
	ctx context.Context, wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter, execution types.UID,
) (string, error) {
	if wf.Spec.Job != nil {
		return p.jobDigest(wf, target, parameters)
	}
	c, err := p.Accounts.Client(ctx, wf.Spec.ServiceAccountName, execution)
	if err != nil {
		return "", err //nolint:wrapcheck // names the account
	}
	step, err := p.Prepare(ctx, c, wf, target, parameters, p.Clock.Now())
	if err != nil {
		return "", err
	}
	return step.Digest, nil
}

// Prepare prepares an action's write to the target with the rights of c. at is the time
// that a restart carries.
func (p *Planner) Prepare(
	ctx context.Context, c client.Client, wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured,
	parameters []v1alpha1.ExecutionParameter, at time.Time,
) (*Step, error) {
	changes, err := action(ctx, c, wf.Spec.Action, target, parameters, at)
	if err != nil {
		return nil, err
	}
	digest, err := p.digest(wf, target, parameters, changes.depends)
	if err != nil {
		return nil, err
	}
	return &Step{Digest: digest, target: target, change: changes}, nil
}

func (p *Planner) makeJob(
	ctx context.Context, wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter,
) (Plan, error) {
	job := RenderJob(wf, target, parameters, proposed, p.Namespace)
	text, err := p.jobText(job)
	if err != nil {
		return Plan{}, err
	}
	digest, err := p.jobDigest(wf, target, parameters)
	if err != nil {
		return Plan{}, err
	}
	if err := p.Jobs.Create(ctx, job, client.DryRunAll); err != nil {
		return Plan{}, fmt.Errorf("dry run of workflow %s: %w", wf.Name, err)
	}
	return Plan{Change: bound(p.Redact(text)), Digest: digest}, nil
}

// Step is the write of an action, prepared for a target as it was read.
type Step struct {
	// Digest of the plan.
	Digest string

	target *unstructured.Unstructured
	change *change
}

// DryRun asks the API server whether it would accept the write.
func (s *Step) DryRun(ctx context.Context, c client.Client, execution types.UID) error {
	_, err := s.write(ctx, c, string(execution), client.DryRunAll)
	return err
}

// Write makes the write, once, and returns the target as it is since. It is refused if
// the target has changed since it was read.
func (s *Step) Write(ctx context.Context, c client.Client, execution types.UID) (*unstructured.Unstructured, error) {
	return s.write(ctx, c, string(execution))
}

func (s *Step) write(ctx context.Context, c client.Client, mark string, options ...client.PatchOption) (*unstructured.Unstructured, error) {
	patch, err := s.change.patch(s.target, mark, true)
	if err != nil {
		return nil, err
	}
	return s.send(ctx, c, patch, options...)
}

func (s *Step) send(ctx context.Context, c client.Client, patch client.Patch, options ...client.PatchOption) (*unstructured.Unstructured, error) {
	after := s.target.DeepCopy()
	if err := c.Patch(ctx, after, patch, append(options, client.FieldOwner("workflowexecution"))...); err != nil {
		return nil, fmt.Errorf("change %s %s/%s: %w", s.target.GetKind(), s.target.GetNamespace(), s.target.GetName(), err)
	}
	return after, nil
}

// identity is what a plan's digest is made of.
type identity struct {
	Target     types.UID                     `json:"target"`
	Workflow   string                        `json:"workflow"`
	Parameters []v1alpha1.ExecutionParameter `json:"parameters"`
	Fields     map[string]any                `json:"fields"`
}

func (p *Planner) digest(
	wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter, fields map[string]any,
) (string, error) {
	workflow, err := p.WorkflowDigest(&wf.Spec)
	if err != nil {
		return "", fmt.Errorf("digest of workflow %s: %w", wf.Name, err)
	}
	// encoding/json sorts the keys of maps.
	encoded, err := json.Marshal(identity{Target: target.GetUID(), Workflow: workflow, Parameters: sorted(parameters), Fields: fields})
	if err != nil {
		return "", fmt.Errorf("digest of the plan of workflow %s: %w", wf.Name, err)
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), nil
}

func (p *Planner) jobDigest(
	wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter,
) (string, error) {
	job := RenderJob(wf, target, parameters, proposed, p.Namespace)
	return p.digest(wf, target, parameters, map[string]any{"job": job})
}
