package guardrail

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// RequiresPerson says why a person has to decide on an execution although a policy approves; it
// is empty unless earlier executions for the same fingerprint did not help. Then it records the
// guard rail and shows it as a condition.
func (g *GuardRails) RequiresPerson(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (string, error) {
	all, executions, err := g.listed(ctx, wfe.Namespace)
	if err != nil {
		return "", err
	}
	name := wfe.Spec.Request.Name
	at := slices.IndexFunc(all, func(rr v1alpha1.RemediationRequest) bool { return rr.Name == name })
	if at < 0 {
		return fmt.Sprintf("request %s is gone", name), nil
	}
	why, err := g.disappointed(ctx, &all[at], all, executions)
	if err != nil || why == "" {
		return "", err
	}
	return why, g.trigger(ctx, wfe, v1alpha1.RailIneffective, why)
}

// Disappointed says why a person has to decide on everything that is proposed about a request:
// at least --max-ineffective executions for its fingerprint did not help. One that was effective
// counts as well if the problem began to fire again during the cool-down of its workflow.
func (g *GuardRails) Disappointed(ctx context.Context, rr *v1alpha1.RemediationRequest) (string, error) {
	all, executions, err := g.listed(ctx, rr.Namespace)
	if err != nil {
		return "", err
	}
	return g.disappointed(ctx, rr, all, executions)
}

// listed are the requests and the executions of a namespace.
func (g *GuardRails) listed(ctx context.Context, namespace string) ([]v1alpha1.RemediationRequest, []v1alpha1.WorkflowExecution, error) {
	var requests v1alpha1.RemediationRequestList
	var executions v1alpha1.WorkflowExecutionList
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := g.Reader.List(reading, &requests, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("list requests: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		if err := g.Reader.List(reading, &executions, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("list executions: %w", err)
		}
		return nil
	})
	err := group.Wait()
	return requests.Items, executions.Items, err //nolint:wrapcheck // says what failed
}

// disappointed is Disappointed by what was listed.
func (g *GuardRails) disappointed(
	ctx context.Context, rr *v1alpha1.RemediationRequest, all []v1alpha1.RemediationRequest, executions []v1alpha1.WorkflowExecution,
) (string, error) {
	var firings []time.Time
	same := map[string]bool{}
	for i := range all {
		if other := &all[i]; other.Spec.SignalFingerprint == rr.Spec.SignalFingerprint {
			same[other.Name] = true
			firings = append(firings, other.Spec.FiringTime.Time)
		}
	}
	count := 0
	for i := range executions {
		e := &executions[i]
		if !same[e.Spec.Request.Name] {
			continue
		}
		failed, err := g.failed(ctx, e, firings)
		if err != nil {
			return "", err
		}
		if failed {
			count++
		}
	}
	if count < g.MaxIneffective {
		return "", nil
	}
	return fmt.Sprintf("%d executions for this problem did not help (--max-ineffective %d): a person decides", count, g.MaxIneffective), nil
}

// failed reports whether an execution did not help, or not for as long as its workflow cools down.
func (g *GuardRails) failed(ctx context.Context, e *v1alpha1.WorkflowExecution, firings []time.Time) (bool, error) {
	if e.Status.Outcome != v1alpha1.OutcomeEffective || e.Status.FinishedAt == nil {
		return e.Status.Outcome == v1alpha1.OutcomeIneffective, nil
	}
	coolDown, err := g.coolDown(ctx, e.Spec.Workflow.Name)
	if err != nil {
		return false, err
	}
	over := e.Status.FinishedAt.Time
	for _, began := range firings {
		if began.After(over) && began.Before(over.Add(coolDown)) {
			return true, nil
		}
	}
	return false, nil
}

// coolDown is that of a workflow; 0 if the workflow is gone.
func (g *GuardRails) coolDown(ctx context.Context, workflow string) (time.Duration, error) {
	var wf v1alpha1.RemediationWorkflow
	key := client.ObjectKey{Namespace: g.WorkflowsNamespace, Name: workflow}
	if err := g.Reader.Get(ctx, key, &wf); client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("read workflow %s: %w", key, err)
	}
	return wf.Spec.CoolDown.Duration, nil
}
