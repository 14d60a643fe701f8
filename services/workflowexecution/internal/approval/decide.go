package approval

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// secondSuffix ends the name of the second of two decisions.
const secondSuffix = "-2"

// decision is what was decided; without a verdict, nothing yet.
type decision struct {
	verdict v1alpha1.Verdict
	by      []v1alpha1.Decider
	reason  string
}

// find reads the decisions on an execution live, the first one first.
func (s *Stage) find(ctx context.Context, wfe *v1alpha1.WorkflowExecution) ([]v1alpha1.RemediationApproval, error) {
	names := []string{string(wfe.UID), string(wfe.UID) + secondSuffix}
	read := make([]*v1alpha1.RemediationApproval, len(names))
	group, reading := errgroup.WithContext(ctx)
	for i, name := range names {
		group.Go(func() error {
			var ra v1alpha1.RemediationApproval
			err := s.Live.Get(reading, client.ObjectKey{Namespace: wfe.Namespace, Name: name}, &ra)
			switch {
			case err == nil:
				read[i] = &ra
			case !apierrors.IsNotFound(err):
				return fmt.Errorf("read decision %s/%s: %w", wfe.Namespace, name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	var found []v1alpha1.RemediationApproval
	for _, ra := range read {
		if ra != nil {
			found = append(found, *ra)
		}
	}
	return found, nil
}

// judge is the decision that follows from those that were found: a rejection under either name
// wins; an approval has to be the first one, of this plan, and for a high risk with
// --four-eyes there have to be two, of different persons. Decisions before the expiry count.
func (s *Stage) judge(wfe *v1alpha1.WorkflowExecution, found []v1alpha1.RemediationApproval) decision {
	approved := decision{verdict: v1alpha1.VerdictApprove}
	first := false
	for i := range found {
		ra := &found[i]
		if ra.Spec.ExecutionUID != wfe.UID || ra.Spec.PlanDigest != wfe.Spec.PlanDigest || ra.CreationTimestamp.After(wfe.Spec.ExpiresAt.Time) {
			continue
		}
		if ra.Spec.Verdict == v1alpha1.VerdictReject {
			return decision{v1alpha1.VerdictReject, []v1alpha1.Decider{ra.Spec.DecidedBy}, ra.Spec.Reason}
		}
		first = first || ra.Name == string(wfe.UID)
		if len(approved.by) == 0 || approved.by[0].Name != ra.Spec.DecidedBy.Name {
			approved.by = append(approved.by, ra.Spec.DecidedBy)
		}
		approved.reason = ra.Spec.Reason
	}
	needed := 1
	if s.FourEyes && wfe.Spec.Workflow.Risk == v1alpha1.RiskHigh {
		needed++
	}
	if !first || len(approved.by) < needed {
		return decision{}
	}
	return approved
}

// act lets a decision count, after the proof that nobody could have forged it.
func (s *Stage) act(ctx context.Context, wfe *v1alpha1.WorkflowExecution, d decision) error {
	why, err := s.Guard.Probe(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		wait(wfe, reasonAdmission, "the decision does not count: "+why)
		return nil
	}
	if d.verdict == v1alpha1.VerdictApprove {
		return s.approve(ctx, wfe, d.by, d.reason)
	}
	e, err := auditevents.ExecutionDecided(wfe, d.verdict, d.by, d.reason)
	if err := auditevents.Record(ctx, s.Audit, e, err); err != nil {
		return err
	}
	wfe.Status.Approval = &v1alpha1.ExecutionApproval{By: d.by, At: metav1.NewMicroTime(s.Clock.Now()), Reason: d.reason}
	wfe.Status.Phase, wfe.Status.Reason, wfe.Status.Message = v1alpha1.ExecutionRejected, "Rejected", d.reason
	return nil
}
