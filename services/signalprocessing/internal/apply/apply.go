// Package apply writes the status of resources with server-side apply: a writer owns
// exactly the fields that it applies, and a write that is based on an outdated read
// is rejected.
package apply

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// FieldManager owns the fields that this service writes.
const FieldManager = "signalprocessing"

// Status applies status, a pointer to a struct, as this service's part of the object's
// status: a field that an earlier call set and that status lacks is removed. It fails
// with a conflict (apierrors.IsConflict) if the resource version of the object has
// changed, or if it was replaced by another object of the same name. kind is the
// object's kind in our API group. Status does not modify object.
func Status(ctx context.Context, c client.StatusClient, kind string, object client.Object, status any) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return fmt.Errorf("encode status of %s %s: %w", kind, client.ObjectKeyFromObject(object), err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(object.GetNamespace())
	u.SetName(object.GetName())
	u.SetUID(object.GetUID())
	u.SetResourceVersion(object.GetResourceVersion())
	err = c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldManager), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("apply status of %s %s: %w", kind, client.ObjectKeyFromObject(object), err)
	}
	return nil
}

// Target is a resource that StatusWithRetry reads again: a pointer to a struct.
type Target[S any] interface {
	*S
	client.Object
}

// StatusWithRetry is Status for a resource with other writers, whose changes of labels,
// annotations and their own parts of the status do not matter. After a conflict it
// reads the resource again and retries until ctx ends, as long as it is the same
// resource and same reports that it is unchanged for the caller.
func StatusWithRetry[S any, T Target[S]](ctx context.Context, c client.StatusClient, live client.Reader, kind string, object T, status any, same func(fresh T) bool) error {
	target := object
	for {
		err := Status(ctx, c, kind, target, status)
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return err
		}
		var fresh T = new(S)
		if readErr := live.Get(ctx, client.ObjectKeyFromObject(object), fresh); readErr != nil {
			return errors.Join(err, readErr)
		}
		// A conflict although the resource version is current has another cause.
		if fresh.GetUID() != object.GetUID() || fresh.GetResourceVersion() == target.GetResourceVersion() || !same(fresh) {
			return err
		}
		target = fresh
	}
}
