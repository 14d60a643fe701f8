package guardrail

import (
	"context"
	"fmt"
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

	// Reader reads from the API server.
	Reader client.Reader
	Audit  auditevents.Recorder
	// WorkflowsNamespace is where workflows are.
	WorkflowsNamespace string
	Now                clock.PassiveClock
}

// Blocked says which guard rail keeps the execution from starting now, and when to look again;
// it is empty if none does. It records the guard rail and shows it as a condition.
func (g *GuardRails) Blocked(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (string, time.Duration, error) {
	rail, message, retry, err := g.check(ctx, wfe)
	if err != nil {
		return "", 0, err
	}
	if rail == "" {
		meta.RemoveStatusCondition(&wfe.Status.Conditions, v1alpha1.ConditionGuardRail)
		return "", 0, nil
	}
	return message, retry, g.trigger(ctx, wfe, rail, message)
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

func (g *GuardRails) check(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (rail, message string, retry time.Duration, err error) {
	var coolDown time.Duration
	var all v1alpha1.WorkflowExecutionList
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		coolDown, err = g.coolDown(reading, wfe.Spec.Workflow.Name)
		return err
	})
	group.Go(func() error {
		if err := g.Reader.List(reading, &all); err != nil {
			return fmt.Errorf("list executions: %w", err)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return "", "", 0, err //nolint:wrapcheck // says what failed
	}
	now := g.Now.Now()
	inNamespace, inCluster := 0, 0
	for i := range all.Items {
		other := &all.Items[i]
		if other.UID == wfe.UID || other.Status.StartedAt == nil {
			continue
		}
		end := other.Status.StartedAt.Time
		if f := other.Status.FinishedAt; f != nil {
			end = f.Time
		}
		until := end.Add(coolDown)
		if other.Spec.Workflow.Name == wfe.Spec.Workflow.Name && other.Spec.Target.UID == wfe.Spec.Target.UID && now.Before(until) {
			return v1alpha1.RailCoolDown, fmt.Sprintf("%s changed %s %s already; workflow %s cools down until %s", other.Name, wfe.Spec.Target.Kind,
				wfe.Spec.Target.Name, wfe.Spec.Workflow.Name, until.UTC().Format(time.RFC3339)), until.Sub(now), nil
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
		return v1alpha1.RailNamespaceMaximum, fmt.Sprintf("no more than %d executions an hour start in namespace %s", g.PerNamespace, wfe.Spec.Target.Namespace), time.Minute, nil
	case inCluster >= g.PerCluster:
		return v1alpha1.RailClusterMaximum, fmt.Sprintf("no more than %d executions an hour start in the cluster", g.PerCluster), time.Minute, nil
	}
	return "", "", 0, nil
}
