package dedup

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// requestNamespace returns the namespace for a signal's request: the target's
// if it exists, is not being deleted, and the Gateway watches it, else the
// Gateway's own.
func (o *Opener) requestNamespace(ctx context.Context, s Signal) (string, error) {
	namespace := s.Spec.TargetResource.Namespace
	if s.Foreign || namespace == "" || !o.watches(namespace) {
		return o.namespace, nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := o.client.Get(ctx, client.ObjectKey{Name: namespace}, object)
	switch {
	case apierrors.IsNotFound(err):
		return o.namespace, nil
	case err != nil:
		return "", fmt.Errorf("read namespace %s: %w", namespace, err)
	case !object.DeletionTimestamp.IsZero():
		return o.namespace, nil
	default:
		return namespace, nil
	}
}

func (o *Opener) watches(namespace string) bool {
	return len(o.watched) == 0 || o.watched.Has(namespace)
}

// namespaceGone reports whether a creation failed because its namespace does
// not exist or is being deleted.
func namespaceGone(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}
