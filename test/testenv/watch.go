package testenv

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// WaitFor watches one object until the predicate holds, and stores the state for which
// it did in object. It does not poll. The predicate is called with the current state
// first. The object need not exist yet; if it is deleted, the wait fails.
//
// If ctx ends, the error shows the last observed state.
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
		// The API server ended the watch, as it does now and then: watch again.
	}
}

var errDeleted = errors.New("it was deleted")

// watchOnce watches until the predicate holds, the watch ends (nil, nil), or
// something fails.
func watchOnce[T client.Object](ctx context.Context, c client.WithWatch, list client.ObjectList, object T, holds func(T) bool) (*T, error) {
	// Without a resource version the watch begins with the current state.
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

// WaitForAll watches the objects of a list's kind that the options select until
// the predicate holds for all of them together, by namespace and name. It does not
// poll. The predicate must not retain the map.
func WaitForAll[T client.Object](ctx context.Context, c client.WithWatch, list client.ObjectList, holds func(map[client.ObjectKey]T) bool, options ...client.ListOption) error {
	for {
		// Listed first, so that the predicate never sees only some of them.
		if err := c.List(ctx, list, options...); err != nil {
			return fmt.Errorf("wait for %T: list: %w", list, err)
		}
		seen := map[client.ObjectKey]T{}
		err := meta.EachListItem(list, func(o runtime.Object) error {
			object, ok := o.(T)
			if !ok {
				return fmt.Errorf("%T is in the list", o)
			}
			seen[client.ObjectKeyFromObject(object)] = object
			return nil
		})
		if err != nil {
			return fmt.Errorf("wait for %T: %w", list, err)
		}
		found, err := watchAll(ctx, c, list, seen, holds, options)
		switch {
		case found:
			return nil
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("wait for %T: %w; %d were seen, some of them: %s", list, context.Cause(ctx), len(seen), describe(some(seen)))
		case err != nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err):
			return fmt.Errorf("wait for %T: %w", list, err)
		}
		// The API server ended the watch, as it does now and then: watch again.
	}
}

// watchAll watches until the predicate holds, the watch ends (false, nil), or
// something fails.
func watchAll[T client.Object](ctx context.Context, c client.WithWatch, list client.ObjectList, seen map[client.ObjectKey]T,
	holds func(map[client.ObjectKey]T) bool, options []client.ListOption,
) (bool, error) {
	if holds(seen) {
		return true, nil
	}
	from := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}}
	w, err := c.Watch(ctx, list, append(slices.Clone(options), from)...)
	if err != nil {
		return false, fmt.Errorf("watch: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case event, open := <-w.ResultChan():
			if !open {
				return false, nil
			}
			object, ok := event.Object.(T)
			switch {
			case event.Type == watch.Error:
				return false, apierrors.FromObject(event.Object)
			case !ok:
				continue // a bookmark
			case event.Type == watch.Deleted:
				delete(seen, client.ObjectKeyFromObject(object))
			default:
				seen[client.ObjectKeyFromObject(object)] = object
			}
			if holds(seen) {
				return true, nil
			}
		}
	}
}

// some returns a few of the objects to show.
func some[T client.Object](seen map[client.ObjectKey]T) []T {
	const most = 3
	var few []T
	for _, object := range seen {
		if len(few) == most {
			break
		}
		few = append(few, object)
	}
	return few
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
