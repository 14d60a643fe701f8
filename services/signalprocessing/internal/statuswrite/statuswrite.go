// Package statuswrite writes the status of resources. A write applies only to the version of
// the resource that the caller has read. Where a status has several writers, it changes only
// the fields that the caller changes, so that each writer keeps its own.
package statuswrite

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldManager is the name under which this service writes.
const FieldManager = "signalprocessing"

// Object is a pointer to a resource's struct.
type Object[S any] interface {
	*S
	client.Object
	DeepCopy() *S
}

// Patch applies change to the status of object and returns the resource as the API server
// has stored it. It does not modify object.
//
// Changes by others of labels, annotations and their own parts of the status do not matter:
// after a conflict, Patch reads the resource again and repeats the change until ctx ends, as
// long as it is the same resource and unchanged reports that the caller's decision still
// holds for it. Otherwise, the error is the conflict (apierrors.IsConflict). kind names the
// resource in errors.
func Patch[S any, T Object[S]](
	ctx context.Context, c client.StatusClient, live client.Reader, kind string, object T, change func(T), unchanged func(fresh T) bool,
) (T, error) {
	return write(ctx, live, kind, object, change, unchanged, func(before, after T) error {
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		return c.Status().Patch(ctx, after, patch, client.FieldOwner(FieldManager))
	})
}

// Replace is Patch for a status that this service alone writes. It costs the API server less.
func Replace[S any, T Object[S]](
	ctx context.Context, c client.StatusClient, live client.Reader, kind string, object T, change func(T), unchanged func(fresh T) bool,
) (T, error) {
	return write(ctx, live, kind, object, change, unchanged, func(_, after T) error {
		return c.Status().Update(ctx, after, client.FieldOwner(FieldManager))
	})
}

func write[S any, T Object[S]](
	ctx context.Context, live client.Reader, kind string, object T, change func(T), unchanged func(fresh T) bool, send func(before, after T) error,
) (T, error) {
	target := object
	for {
		var changed T = target.DeepCopy()
		change(changed)
		err := send(target, changed)
		if err == nil {
			return changed, nil
		}
		err = fmt.Errorf("write status of %s %s: %w", kind, client.ObjectKeyFromObject(object), err)
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return nil, err
		}
		var fresh T = new(S)
		if readErr := live.Get(ctx, client.ObjectKeyFromObject(object), fresh); readErr != nil {
			return nil, errors.Join(err, readErr)
		}
		// A conflict although the resource version is current has another cause.
		if fresh.GetUID() != object.GetUID() || fresh.GetResourceVersion() == target.GetResourceVersion() || !unchanged(fresh) {
			return nil, err
		}
		target = fresh
	}
}
