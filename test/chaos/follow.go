package chaos

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follow calls handle for each change of the objects of a list in a namespace until ctx ends, whatever
// watches end meanwhile.
func follow(ctx context.Context, from client.WithWatch, list client.ObjectList, namespace string, handle func(watch.Event) error) error {
	for ctx.Err() == nil {
		// Without a resource version the watch begins with the current state.
		w, err := from.Watch(ctx, list, client.InNamespace(namespace))
		if err == nil {
			err = readWatch(ctx, w, handle)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("follow namespace %s: %w", namespace, err)
		}
	}
	return nil
}

// readWatch reads one watch to its end.
func readWatch(ctx context.Context, w watch.Interface, handle func(watch.Event) error) error {
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-w.ResultChan():
			if !open {
				return nil
			}
			if err := handle(event); err != nil {
				return err
			}
		}
	}
}
