package guardrail

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// RequiresPerson says why a person has to decide on a proposal although a policy approves; it is
// empty unless earlier executions for the same fingerprint did not help. Then it records the guard
// rail and shows it as a condition. It reads the informers, which may be late: Blocked looks again
// at the start.
func (g *GuardRails) RequiresPerson(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (string, error) {
	found, err := g.cached(ctx, wfe.Namespace)
	if err != nil {
		return "", err
	}
	why, err := g.required(ctx, g.Cached, wfe, found)
	if err != nil || why == "" {
		return "", err
	}
	return why, g.trigger(ctx, wfe, v1alpha1.RailIneffective, why)
}

// Disappointed says why a person has to decide on everything that is proposed about a request:
// at least --max-ineffective executions for its fingerprint did not help. One that was effective
// counts as well if the problem began to fire again during the cool-down of its workflow. It reads
// the informers, as RequiresPerson.
func (g *GuardRails) Disappointed(ctx context.Context, rr *v1alpha1.RemediationRequest) (string, error) {
	found, err := g.cached(ctx, rr.Namespace)
	if err != nil {
		return "", err
	}
	return g.disappointed(ctx, g.Cached, rr, found)
}

// cached is the history of a namespace by the informers.
func (g *GuardRails) cached(ctx context.Context, namespace string) (found history, err error) {
	if found.requests, err = requestsOf(ctx, g.Cached, namespace); err == nil {
		found.executions, err = executionsOf(ctx, g.Cached, namespace)
	}
	return found, err
}

// requestsOf are the requests of a namespace.
func requestsOf(ctx context.Context, from client.Reader, namespace string) ([]v1alpha1.RemediationRequest, error) {
	var requests v1alpha1.RemediationRequestList
	if err := from.List(ctx, &requests, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return requests.Items, nil
}

// executionsOf are the executions of a namespace, or all.
func executionsOf(ctx context.Context, from client.Reader, namespace string) ([]v1alpha1.WorkflowExecution, error) {
	var executions v1alpha1.WorkflowExecutionList
	if err := from.List(ctx, &executions, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list executions: %w", err)
	}
	return executions.Items, nil
}

// required is RequiresPerson by the history of the execution's namespace.
func (g *GuardRails) required(ctx context.Context, from client.Reader, wfe *v1alpha1.WorkflowExecution, found history) (string, error) {
	name := wfe.Spec.Request.Name
	at := slices.IndexFunc(found.requests, func(rr v1alpha1.RemediationRequest) bool { return rr.Name == name })
	if at < 0 {
		return fmt.Sprintf("request %s is gone", name), nil
	}
	return g.disappointed(ctx, from, &found.requests[at], found)
}

// disappointed is Disappointed by the history of the request's namespace.
func (g *GuardRails) disappointed(ctx context.Context, from client.Reader, rr *v1alpha1.RemediationRequest, found history) (string, error) {
	var firings []time.Time
	same := map[string]bool{}
	for i := range found.requests {
		if other := &found.requests[i]; other.Spec.SignalFingerprint == rr.Spec.SignalFingerprint {
			same[other.Name] = true
			firings = append(firings, other.Spec.FiringTime.Time)
		}
	}
	count, rests := 0, map[string]time.Duration{}
	for i := range found.executions {
		e := &found.executions[i]
		if !same[e.Spec.Request.Name] {
			continue
		}
		rest, known := rests[e.Spec.Workflow.Name]
		if !known && e.Status.Outcome == v1alpha1.OutcomeEffective {
			var err error
			if rest, err = coolDown(ctx, from, g.WorkflowsNamespace, e.Spec.Workflow.Name); err != nil {
				return "", err
			}
			rests[e.Spec.Workflow.Name] = rest
		}
		if failed(e, rest, firings) {
			count++
		}
	}
	if count < g.MaxIneffective {
		return "", nil
	}
	return fmt.Sprintf("%d executions for this problem did not help (--max-ineffective %d): a person decides", count, g.MaxIneffective), nil
}

// failed reports whether an execution did not help, or not for as long as its workflow cools down.
func failed(e *v1alpha1.WorkflowExecution, coolDown time.Duration, firings []time.Time) bool {
	if e.Status.Outcome != v1alpha1.OutcomeEffective || e.Status.FinishedAt == nil {
		return e.Status.Outcome == v1alpha1.OutcomeIneffective
	}
	over := e.Status.FinishedAt.Time
	return slices.ContainsFunc(firings, func(began time.Time) bool { return began.After(over) && began.Before(over.Add(coolDown)) })
}

// coolDown is that of a workflow; 0 if the workflow is gone.
func coolDown(ctx context.Context, from client.Reader, namespace, workflow string) (time.Duration, error) {
	var wf v1alpha1.RemediationWorkflow
	key := client.ObjectKey{Namespace: namespace, Name: workflow}
	if err := from.Get(ctx, key, &wf); client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("read workflow %s: %w", key, err)
	}
	return wf.Spec.CoolDown.Duration, nil
}
