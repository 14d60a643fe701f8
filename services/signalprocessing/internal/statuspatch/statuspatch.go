// Package statuspatch writes the status of resources. A write changes only the fields
// that its caller changes, so that each writer of a status keeps its own, and it applies
// only to the version of the resource that the caller has read.
package statuspatch

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

// Write applies change to the status of object and returns the resource as the API server
// has stored it. It does not modify object.
//
// Changes by others of labels, annotations and their own parts of the status do not matter:
// after a conflict, Write reads the resource again and repeats the change until ctx ends, as
// long as it is the same resource and unchanged reports that the caller's decision still
// holds for it. Otherwise, the error is the conflict (apierrors.IsConflict). kind names the
// resource in errors.
func Write[S any, T Object[S]](
	ctx context.Context, c client.StatusClient, live client.Reader, kind string, object T, change func(T), unchanged func(fresh T) bool,
) (T, error) {
	target := object
	for {
		var changed T = target.DeepCopy()
		change(changed)
		patch := client.MergeFromWithOptions(target, client.MergeFromWithOptimisticLock{})
		err := c.Status().Patch(ctx, changed, patch, client.FieldOwner(FieldManager))
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
