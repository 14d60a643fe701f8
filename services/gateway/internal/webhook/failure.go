package webhook

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/services/gateway/internal/admission"
)

const (
	messageRefused       = "the API server rejected the remediation request permanently"
	messageDenied        = "the cluster denies the remediation request of a problem"
	messageUndeliverable = "the cluster has denied the remediation request for too long: %s %s; allow it for the Gateway"
)

// failed records that a signal got no request. It returns an error if trying
// again may help, and a result if it never will, or did not for too long.
func (a *api) failed(ctx context.Context, i *item, request types.NamespacedName, cause error) (result, error) {
	if admission.Permanent(cause) {
		return a.refused(ctx, i, request, cause)
	}
	by, denied := admission.Of(cause)
	if denied {
		known := a.denials.Deny(i.Spec.SignalFingerprint, request, by)
		if known.First {
			a.Log.Warn(messageDenied, zap.String("signal", i.Spec.SignalName), zap.String("fingerprint", i.Spec.SignalFingerprint),
				zap.String("kind", by.Kind), zap.String("name", by.Name), zap.Error(cause),
				zap.String("remedy", "exempt remediationrequests.kubernaut.ai from it"))
		}
		// A retry gets another name; its failure is that of the first one.
		request = known.Request
		if known.Lasting {
			return a.undeliverable(ctx, i, known, by, cause)
		}
	}
	if err := i.trail.Failed(ctx, request, cause, by); err != nil {
		return result{}, errors.Join(cause, err)
	}
	return result{}, cause
}

// refused rejects a signal whose request violates the schema.
func (a *api) refused(ctx context.Context, i *item, request types.NamespacedName, cause error) (result, error) {
	if err := i.trail.Failed(ctx, request, cause, admission.Denial{}); err != nil {
		return result{}, errors.Join(cause, err)
	}
	if err := i.trail.Rejected(ctx, "refused", messageRefused, nil); err != nil {
		return result{}, errors.Join(cause, err)
	}
	a.Log.Warn(messageRefused, zap.String("signal", i.Spec.SignalName), zap.Error(cause))
	return newResult(statusRejected, i.Spec.SignalFingerprint, types.NamespacedName{}, messageRefused), nil
}

// undeliverable gives up a signal whose request the cluster keeps denying, so
// that it does not hold up the other signals of its body.
func (a *api) undeliverable(ctx context.Context, i *item, known admission.Denied, by admission.Denial, cause error) (result, error) {
	if err := i.trail.Undeliverable(ctx, known.Request, cause, by, known.Since); err != nil {
		return result{}, errors.Join(cause, err)
	}
	message := fmt.Sprintf(messageUndeliverable, by.Kind, by.Name)
	return newResult(statusUndeliverable, i.Spec.SignalFingerprint, types.NamespacedName{}, message), nil
}
