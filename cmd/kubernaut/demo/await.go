package demo

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patience is how long the platform, or a controller, may take for a step.
const patience = 30 * time.Second

// named selects one object.
func named(name string) *client.ListOptions {
	return &client.ListOptions{Namespace: namespace, FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name)}
}

// await watches objects until one is as it should be, and returns it.
func await[T client.Object](ctx context.Context, c client.WithWatch, list client.ObjectList, which *client.ListOptions, until func(T) bool) (T, error) {
	var none T
	if err := c.List(ctx, list, which); err != nil {
		return none, fmt.Errorf("list: %w", err)
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return none, fmt.Errorf("list: %w", err)
	}
	fits := func(o runtime.Object) bool {
		object, ok := o.(T)
		return ok && until(object)
	}
	for _, item := range items {
		if fits(item) {
			return item.(T), nil //nolint:forcetypeassert // fits has looked
		}
	}
	event, err := watchtools.Until(ctx, list.GetResourceVersion(), watcher{c, list, which}, func(e watch.Event) (bool, error) {
		return e.Type != watch.Deleted && fits(e.Object), nil
	})
	if err != nil {
		return none, fmt.Errorf("watch: %w", err)
	}
	return event.Object.(T), nil //nolint:forcetypeassert // fits has looked
}

// watcher watches what a list showed.
type watcher struct {
	client client.WithWatch
	list   client.ObjectList
	which  *client.ListOptions
}

func (w watcher) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return w.WatchWithContext(context.Background(), options)
}

func (w watcher) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	o := *w.which
	o.Raw = &options
	stream, err := w.client.Watch(ctx, w.list, &o)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	return stream, nil
}
