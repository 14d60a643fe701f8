// Package apply writes the status of resources through server-side apply:
// each writer owns the fields that it applies and no others, and a write that
// rests on an outdated reading is refused.
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

// Status makes status (a pointer to a struct) the status of the object, as far
// as this service owns it: a field that an earlier call set and that is absent
// now is removed. It fails with a conflict (apierrors.IsConflict) when the
// object is no longer at object's resource version, or is another one of the
// same name. kind is the object's kind in our API group. The given object stays
// as it is.
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

// Target is a resource that Settled reads anew: a pointer to a struct.
type Target[S any] interface {
	*S
	client.Object
}

// Settled is Status for a resource that others keep changing: labels,
// annotations and their own parts of the status are no reason to give up. A
// conflict makes it read the resource anew and, as long as that is the same
// resource and still the same to the caller, write again, until ctx ends.
func Settled[S any, T Target[S]](ctx context.Context, c client.StatusClient, live client.Reader, kind string, object T, status any, same func(fresh T) bool) error {
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
		// A conflict about the version that is still the present one has another reason.
		if fresh.GetUID() != object.GetUID() || fresh.GetResourceVersion() == target.GetResourceVersion() || !same(fresh) {
			return err
		}
		target = fresh
	}
}
