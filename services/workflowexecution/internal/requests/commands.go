package requests

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// The results of a command.
const (
	resultDone    = "Done"
	resultRefused = "Refused"
)

// command carries out the oldest command that waits; moved if there is one.
func (r *Reconciler) command(ctx context.Context, rr *v1alpha1.RemediationRequest) (moved bool, err error) {
	waiting, err := r.waiting(ctx, rr)
	if err != nil {
		return false, err
	}
	waiting = slices.DeleteFunc(waiting, func(c v1alpha1.RemediationCommand) bool { return c.UID == rr.Status.LastCommand })
	if len(waiting) == 0 {
		return false, nil
	}
	c := &waiting[0]
	e, err := auditevents.Commanded(rr, c)
	if err := auditevents.Record(ctx, r.Audit, e, err); err != nil {
		return false, err
	}
	by := fmt.Sprintf("%s: %s", c.Spec.RequestedBy.Name, c.Spec.Reason)
	if c.Spec.Command == v1alpha1.CommandClose {
		r.finish(rr, v1alpha1.ReasonClosed, "closed by "+by)
	} else {
		r.phase(rr, v1alpha1.RemediationClassified, "another attempt is wanted by "+by)
		r.condition(rr, v1alpha1.ConditionManualReview, metav1.ConditionFalse, v1alpha1.ReasonRetried, rr.Status.Message)
	}
	rr.Status.LastCommand = c.UID
	return true, nil
}

// answerCommands says what became of the commands about a request, as its status shows it.
// The commands that come while the request does not wait for a person are refused.
func (r *Reconciler) answerCommands(ctx context.Context, rr *v1alpha1.RemediationRequest) error {
	waiting, err := r.waiting(ctx, rr)
	if err != nil {
		return err
	}
	for i := range waiting {
		c := &waiting[i]
		answered := c.DeepCopy()
		switch {
		case c.UID == rr.Status.LastCommand:
			answered.Status = v1alpha1.RemediationCommandStatus{Result: resultDone, Message: rr.Status.Message}
		case rr.Status.Phase == v1alpha1.RemediationManualReview:
			continue
		default:
			answered.Status = v1alpha1.RemediationCommandStatus{Result: resultRefused, Message: fmt.Sprintf(
				"the request is %s: commands are for requests in %s", rr.Status.Phase, v1alpha1.RemediationManualReview)}
		}
		patch := client.MergeFromWithOptions(c, client.MergeFromWithOptimisticLock{})
		if err := r.Writer.Status().Patch(ctx, answered, patch, client.FieldOwner(fieldManager)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("answer RemediationCommand %s: %w", client.ObjectKeyFromObject(c), err)
		}
	}
	return nil
}

// waiting are the commands about a request that have no result, the oldest first.
func (r *Reconciler) waiting(ctx context.Context, rr *v1alpha1.RemediationRequest) ([]v1alpha1.RemediationCommand, error) {
	var all v1alpha1.RemediationCommandList
	if err := r.Cached.List(ctx, &all, client.InNamespace(rr.Namespace)); err != nil {
		return nil, fmt.Errorf("list cached RemediationCommands: %w", err)
	}
	waiting := slices.DeleteFunc(all.Items, func(c v1alpha1.RemediationCommand) bool {
		return c.Spec.Request.UID != rr.UID || c.Status.Result != "" || c.DeletionTimestamp != nil
	})
	slices.SortFunc(waiting, func(a, b v1alpha1.RemediationCommand) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	return waiting, nil
}
