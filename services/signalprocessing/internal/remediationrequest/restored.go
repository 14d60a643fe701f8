package remediationrequest

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/signalprocessing/internal/statuswrite"
)

// belongs reports whether a SignalProcessing is that of a request: it was created for
// the request, or the request has adopted it.
func belongs(sp *v1alpha1.SignalProcessing, rr *v1alpha1.RemediationRequest) bool {
	return sp.Spec.RemediationRequestRef.UID == rr.UID || metav1.IsControlledBy(sp, rr)
}

// adopt makes a SignalProcessing of an earlier UID the request's own; false if it
// cannot be. Objects that are restored from a backup have new UIDs, so the reference
// and the owner are those of the request that was backed up. The name of a request is
// never used twice: with the same name and the same signal it is the same request.
func (r *Reconciler) adopt(ctx context.Context, rr *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing) (*v1alpha1.SignalProcessing, bool, error) {
	if !equality.Semantic.DeepEqual(sp.Spec.Signal, rr.Spec.Signal) {
		return sp, false, nil
	}
	adopted := sp.DeepCopy()
	adopted.OwnerReferences = slices.DeleteFunc(adopted.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return owner.Kind == kind && owner.Name == rr.Name
	})
	if err := controllerutil.SetControllerReference(rr, adopted, r.Writer.Scheme()); err != nil {
		return sp, false, nil //nolint:nilerr // something else owns it
	}
	patch := client.MergeFromWithOptions(sp, client.MergeFromWithOptimisticLock{})
	if err := r.Writer.Patch(ctx, adopted, patch, client.FieldOwner(statuswrite.FieldManager)); err != nil {
		return nil, false, fmt.Errorf("adopt SignalProcessing %s: %w", client.ObjectKeyFromObject(sp), err)
	}
	r.Log.Info("signal processing of a restored request adopted", zap.String("namespace", rr.Namespace), zap.String("name", rr.Name),
		zap.String("uid", string(rr.UID)), zap.String("earlier_uid", string(sp.Spec.RemediationRequestRef.UID)))
	return adopted, true, nil
}

// foreign shows in the status of a request that its name is taken by a
// SignalProcessing about something else. Its deletion is seen, so nothing is retried.
func (r *Reconciler) foreign(ctx context.Context, rr *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing) error {
	before := meta.FindStatusCondition(rr.Status.Conditions, v1alpha1.ConditionSignalProcessed)
	if rr.Status.Phase.Terminal() || before != nil && before.Reason == v1alpha1.ReasonForeignSignalProcessing {
		return nil
	}
	message := fmt.Sprintf("SignalProcessing %s in namespace %s is about another signal, or belongs to something else: "+
		"compare it with this request, then delete it; the request is processed when it is gone", sp.Name, sp.Namespace)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	now := metav1.NewTime(r.Clock.Now())
	_, err := statuswrite.Patch(ctx, r.Writer, r.Live, kind, rr,
		func(rr *v1alpha1.RemediationRequest) {
			m := mirrored{status: &rr.Status, generation: rr.Generation, now: now}
			m.condition(v1alpha1.ConditionSignalProcessed, metav1.ConditionFalse, v1alpha1.ReasonForeignSignalProcessing, message)
			if unclassified(&rr.Status) {
				m.phase(rr.Status.Phase, message)
			}
		},
		func(fresh *v1alpha1.RemediationRequest) bool { return sameForUs(&fresh.Status, &rr.Status) })
	if err != nil {
		return err //nolint:wrapcheck // names the resource
	}
	r.Log.Warn("a request cannot be processed, because its name is taken", zap.String("namespace", rr.Namespace), zap.String("name", rr.Name),
		zap.String("signal_processing_uid", string(sp.UID)), zap.String("remedy", "delete the SignalProcessing of this name"))
	return nil
}

// own returns the request's SignalProcessing, nil if it belongs to something else.
func (r *Reconciler) own(ctx context.Context, rr *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing) (*v1alpha1.SignalProcessing, error) {
	if belongs(sp, rr) {
		return sp, nil
	}
	adopted, ok, err := r.adopt(ctx, rr, sp)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // its deletion is reported
	case err != nil:
		return nil, err
	case !ok:
		return nil, r.foreign(ctx, rr, sp)
	}
	return adopted, nil
}
