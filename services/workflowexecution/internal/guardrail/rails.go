package guardrail

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// window is the time that the maxima are about.
const window = time.Hour

// Options bound executions.
type Options struct {
	// PerNamespace and PerCluster are the most executions that start in an hour.
	PerNamespace, PerCluster int
	// MaxIneffective executions for one fingerprint make every further one need a person.
	MaxIneffective int
}

// GuardRails check executions before their start. They are stateless.
type GuardRails struct {
	*Leases
	Options

	// Reader reads from the API server, for what is decided at the start. Cached reads from the
	// informers, for what is proposed and approved.
	Reader, Cached client.Reader
	Audit          auditevents.Recorder
	// WorkflowsNamespace is where workflows are.
	WorkflowsNamespace string
	Now                clock.PassiveClock
}

// Blocked says which guard rail keeps the execution from starting now, and when to look again;
// it is empty if none does. It records the guard rail and shows it as a condition. Without a time
// to look again, a person has to decide on what the policy approved.
//
// The caller holds the Lease. What is listed is no older than the call, so it shows each execution
// that held the Lease before.
func (g *GuardRails) Blocked(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (string, time.Duration, error) {
	found, err := g.look(ctx, wfe)
	if err != nil {
		return "", 0, err
	}
	rail, message, retry := g.check(wfe, found)
	if rail == "" && byPolicy(wfe) {
		if message, err = g.required(ctx, g.Reader, wfe, found.inNamespace(wfe.Namespace)); err != nil {
			return "", 0, err
		}
		if message != "" {
			rail = v1alpha1.RailIneffective
		}
	}
	if rail == "" {
		meta.RemoveStatusCondition(&wfe.Status.Conditions, v1alpha1.ConditionGuardRail)
		return "", 0, nil
	}
	return message, retry, g.trigger(ctx, wfe, rail, message)
}

// byPolicy reports whether nobody but the policy approved the execution.
func byPolicy(wfe *v1alpha1.WorkflowExecution) bool {
	return wfe.Status.Approval != nil && len(wfe.Status.Approval.By) == 0
}

// trigger records that a guard rail holds back an execution, and then shows it as a condition.
func (g *GuardRails) trigger(ctx context.Context, wfe *v1alpha1.WorkflowExecution, rail, message string) error {
	e, err := auditevents.GuardRailTriggered(wfe, rail, message)
	if err := auditevents.Record(ctx, g.Audit, e, err); err != nil {
		return err
	}
	meta.SetStatusCondition(&wfe.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionGuardRail, Status: metav1.ConditionTrue, Reason: rail, Message: message, ObservedGeneration: wfe.Generation,
	})
	return nil
}

// history is what the guard rails look at.
type history struct {
	executions []v1alpha1.WorkflowExecution
	requests   []v1alpha1.RemediationRequest
	coolDown   time.Duration
}

// inNamespace is what a namespace has of it. The requests are those of the execution's namespace already.
func (h history) inNamespace(namespace string) history {
	h.executions = slices.DeleteFunc(slices.Clone(h.executions), func(e v1alpha1.WorkflowExecution) bool { return e.Namespace != namespace })
	return h
}

// look reads the history live, each list once: right after a write, a list waits until the API
// server's cache has caught up.
func (g *GuardRails) look(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (history, error) {
	var found history
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		found.coolDown, err = coolDown(reading, g.Reader, g.WorkflowsNamespace, wfe.Spec.Workflow.Name)
		return err
	})
	group.Go(func() (err error) {
		found.executions, err = executionsOf(reading, g.Reader, "")
		return err
	})
	if byPolicy(wfe) {
		group.Go(func() (err error) {
			found.requests, err = requestsOf(reading, g.Reader, wfe.Namespace)
			return err
		})
	}
	return found, group.Wait() //nolint:wrapcheck // says what failed
}

// check applies cool-downs and maxima.
func (g *GuardRails) check(wfe *v1alpha1.WorkflowExecution, found history) (rail, message string, retry time.Duration) {
	now := g.Now.Now()
	inNamespace, inCluster := 0, 0
	for i := range found.executions {
		other := &found.executions[i]
		if other.UID == wfe.UID || other.Status.StartedAt == nil {
			continue
		}
		end := other.Status.StartedAt.Time
		if f := other.Status.FinishedAt; f != nil {
			end = f.Time
		}
		until := end.Add(found.coolDown)
		if other.Spec.Workflow.Name == wfe.Spec.Workflow.Name && other.Spec.Target.UID == wfe.Spec.Target.UID && now.Before(until) {
			return v1alpha1.RailCoolDown, fmt.Sprintf("%s changed %s %s already; workflow %s cools down until %s", other.Name, wfe.Spec.Target.Kind,
				wfe.Spec.Target.Name, wfe.Spec.Workflow.Name, until.UTC().Format(time.RFC3339)), until.Sub(now)
		}
		if now.Sub(other.Status.StartedAt.Time) < window {
			inCluster++
			if other.Spec.Target.Namespace == wfe.Spec.Target.Namespace {
				inNamespace++
			}
		}
	}
	switch {
	case inNamespace >= g.PerNamespace:
		return v1alpha1.RailNamespaceMaximum, fmt.Sprintf("no more than %d executions an hour start in namespace %s", g.PerNamespace, wfe.Spec.Target.Namespace), time.Minute
	case inCluster >= g.PerCluster:
		return v1alpha1.RailClusterMaximum, fmt.Sprintf("no more than %d executions an hour start in the cluster", g.PerCluster), time.Minute
	}
	return "", "", 0
}
