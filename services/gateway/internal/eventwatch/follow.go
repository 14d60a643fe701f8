package eventwatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"kubernaut.ai/api/v1alpha1"
)

const (
	pageSize = 200
	// overlap is how far before its last position a watch that begins again looks
	// for events: their times are those of the clocks of many nodes.
	overlap = 10 * time.Minute
)

// errExpired means that the API server no longer has the changes since a resource version.
var errExpired = errors.New("the resource version has expired")

// follow reads the events of a namespace until ctx ends. Reading pauses while
// maxPending events are not accepted.
func (w *Watcher) follow(ctx context.Context, namespace string, p *positions) {
	wait := backoff{clock: w.Clock}
	at := p.get(namespace)
	for ctx.Err() == nil {
		var err error
		if at.ResourceVersion == "" {
			at.ResourceVersion, err = w.list(ctx, namespace, at.Time, p)
		}
		if err == nil {
			at.ResourceVersion, err = w.watch(ctx, namespace, at.ResourceVersion, p, wait.reset)
		}
		switch {
		case errors.Is(err, errExpired):
			w.metrics.expired.Inc()
			w.Log.Info("the watch of events begins again with a list", zap.String("namespace", namespace))
			at = position{Time: p.get(namespace).Time}
			continue
		case err != nil:
			w.failed(ctx, "could not read events", fmt.Errorf("namespace %q: %w", namespace, err))
		}
		if wait.sleep(ctx) != nil {
			return
		}
	}
}

// list delivers the events since a time, with some overlap, and returns the
// resource version to watch from. Without a time it delivers none: a Gateway that
// begins to watch is not interested in what happened before.
func (w *Watcher) list(ctx context.Context, namespace string, since time.Time, p *positions) (string, error) {
	options := metav1.ListOptions{FieldSelector: w.Selector, Limit: pageSize}
	if since.IsZero() {
		options.Limit = 1
	}
	var version string
	for {
		page, err := w.Client.CoreV1().Events(namespace).List(ctx, options)
		if err != nil {
			return "", fmt.Errorf("list events: %w", err)
		}
		version = page.ResourceVersion
		if since.IsZero() {
			break
		}
		for i := range page.Items {
			if e := &page.Items[i]; lastTime(e).After(since.Add(-overlap)) {
				// An item's own version is no position: the list is not in their order.
				if err := w.take(ctx, namespace, e, p.begin(namespace, ""), p); err != nil {
					return "", err
				}
			}
		}
		if page.Continue == "" {
			break
		}
		options.Continue = page.Continue
	}
	p.finish(namespace, p.begin(namespace, version))
	return version, nil
}

// watch delivers events from a resource version on, and returns the version that
// it reached and why it ended: nil if the API server ended the watch as usual.
func (w *Watcher) watch(ctx context.Context, namespace, version string, p *positions, healthy func()) (string, error) {
	watching, err := w.Client.CoreV1().Events(namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: w.Selector, ResourceVersion: version, AllowWatchBookmarks: true,
	})
	if err != nil {
		return version, expired(fmt.Errorf("watch events: %w", err))
	}
	defer watching.Stop()
	for {
		select {
		case change, ok := <-watching.ResultChan():
			if !ok {
				return version, nil
			}
			e, isEvent := change.Object.(*corev1.Event)
			if !isEvent {
				return version, expired(fmt.Errorf("watch events: %w", apierrors.FromObject(change.Object)))
			}
			healthy()
			version = e.ResourceVersion
			m := p.begin(namespace, version)
			if change.Type != watch.Added && change.Type != watch.Modified {
				p.finish(namespace, m)
				continue
			}
			if err := w.take(ctx, namespace, e, m, p); err != nil {
				return version, err
			}
		case <-ctx.Done():
			return version, ctx.Err() //nolint:wrapcheck // the caller ends, too
		}
	}
}

// expired marks the errors after which a watch must begin with a list.
func expired(err error) error {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return fmt.Errorf("%w: %w", errExpired, err)
	}
	return err
}

// take waits for room and delivers an event in the background.
func (w *Watcher) take(ctx context.Context, namespace string, e *corev1.Event, m *mark, p *positions) error {
	if own(e) {
		p.finish(namespace, m)
		return nil
	}
	if err := w.pending.Acquire(ctx, 1); err != nil {
		return err //nolint:wrapcheck // ctx has ended
	}
	w.metrics.pending.Inc()
	w.deliveries.Go(func() {
		defer w.pending.Release(1)
		defer w.metrics.pending.Dec()
		if w.deliver(ctx, e) == nil {
			p.finish(namespace, m)
		}
	})
	return nil
}

// own reports whether an event is about a resource of the platform: as a signal
// it would make requests about requests.
func own(e *corev1.Event) bool {
	group, _, _ := strings.Cut(e.InvolvedObject.APIVersion, "/")
	return group == v1alpha1.GroupVersion.Group
}

// deliver delivers an event until it is accepted or ctx ends. An attempt that has
// begun is finished.
func (w *Watcher) deliver(ctx context.Context, e *corev1.Event) error {
	e.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Event"} // lists and watches leave it out
	e.ManagedFields = nil
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	wait := backoff{clock: w.Clock}
	for {
		if err = w.Deliver(context.WithoutCancel(ctx), text); err == nil {
			w.metrics.delivered.Inc()
			return nil
		}
		w.metrics.failures.Inc()
		w.Log.Debug("could not deliver an event; it is repeated", zap.String("namespace", e.Namespace), zap.String("name", e.Name), zap.Error(err))
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// lastTime is when an event happened last.
func lastTime(e *corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	for _, t := range []time.Time{e.FirstTimestamp.Time, e.LastTimestamp.Time, e.EventTime.Time} {
		if t.After(last) {
			last = t
		}
	}
	if e.Series != nil && e.Series.LastObservedTime.After(last) {
		last = e.Series.LastObservedTime.Time
	}
	return last
}
