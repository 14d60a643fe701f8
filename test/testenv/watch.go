package testenv

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// WaitFor watches one object until the predicate holds for it, and leaves the
// state for which it did in object. It does not poll, and no state between the
// first and the last is needed: the predicate sees the present one first. The
// object may not exist yet; when it is deleted the wait fails.
//
// The error of a wait that its context ended shows the last state seen.
func WaitFor[T client.Object](ctx context.Context, c client.WithWatch, object T, holds func(T) bool) error {
	what := fmt.Sprintf("%T %s", object, client.ObjectKeyFromObject(object))
	list, err := listOf(c, object)
	if err != nil {
		return err
	}
	var last any = "nothing"
	for {
		found, err := watchOnce(ctx, c, list, object, func(seen T) bool {
			last = seen
			return holds(seen)
		})
		switch {
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("wait for %s: %w; the last state seen was %s", what, context.Cause(ctx), describe(last))
		case err != nil:
			return fmt.Errorf("wait for %s: %w", what, err)
		case found != nil:
			return copyInto(object, *found)
		}
		// The API server ended the watch, as it does now and then: begin again.
	}
}

var errDeleted = errors.New("it was deleted")

// watchOnce watches until the predicate holds, the watch ends (nil, nil), or
// something fails.
func watchOnce[T client.Object](ctx context.Context, c client.WithWatch, list client.ObjectList, object T, holds func(T) bool) (*T, error) {
	// A watch from no resource version begins with the present state.
	w, err := c.Watch(ctx, list, client.InNamespace(object.GetNamespace()), client.MatchingFields{"metadata.name": object.GetName()})
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case event, open := <-w.ResultChan():
			if !open {
				return nil, nil //nolint:nilnil // neither found nor failed
			}
			switch event.Type {
			case watch.Added, watch.Modified:
				if seen, ok := event.Object.(T); ok && holds(seen) {
					return &seen, nil
				}
			case watch.Deleted:
				return nil, errDeleted
			case watch.Error:
				return nil, apierrors.FromObject(event.Object)
			case watch.Bookmark:
			}
		}
	}
}

func listOf(c client.Client, object client.Object) (client.ObjectList, error) {
	kind, err := apiutil.GVKForObject(object, c.Scheme())
	if err != nil {
		return nil, fmt.Errorf("find the kind of %T: %w", object, err)
	}
	kind.Kind += "List"
	made, err := c.Scheme().New(kind)
	if err != nil {
		return nil, fmt.Errorf("make a list of %T: %w", object, err)
	}
	list, ok := made.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("make a list of %T: %T is none", object, made)
	}
	return list, nil
}

// copyInto sets what object points to.
func copyInto[T client.Object](object, found T) error {
	to, from := reflect.ValueOf(object), reflect.ValueOf(found)
	if to.Kind() != reflect.Pointer || to.Type() != from.Type() {
		return fmt.Errorf("cannot copy %T into %T", found, object)
	}
	to.Elem().Set(from.Elem())
	return nil
}

func describe(object any) string {
	text, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Sprintf("%+v", object)
	}
	return "\n" + string(text)
}
