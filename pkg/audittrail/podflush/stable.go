package podflush

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// ErrNoReplicas is wrapped by the error about a workload that declares no
// replicas, unless it may be empty.
var ErrNoReplicas = errors.New("it declares no replicas, and to flush no pods proves nothing")

var (
	errDeleted    = errors.New("it was deleted")
	errWatchEnded = errors.New("the watch has ended")
)

// awaitStable waits until a flush of the workload's pods can prove something, and
// returns what it saw then. It acts on what watches show; it does not poll.
func (f *Flusher) awaitStable(ctx context.Context, w Workload) (*view, error) {
	waiting := []string{"its state is not known yet"}
	for {
		v, err := f.look(ctx, w)
		if err == nil {
			err = f.follow(ctx, w, v)
			waiting = v.waiting()
		}
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil:
			return nil, &WaitError{Workload: w, Waiting: waiting, Cause: ctx.Err()}
		case !errors.Is(err, errWatchEnded):
			return nil, fmt.Errorf("%s: %w", w, err)
		}
		// The API server ends watches now and then, and forgets old versions.
	}
}

// look reads the workload and its pods as they are now.
func (f *Flusher) look(ctx context.Context, w Workload) (*view, error) {
	v := &view{pods: map[string]*corev1.Pod{}}
	var err error
	if v.workload, v.workloadAt, err = f.declared(ctx, w); err != nil {
		return nil, err
	}
	if v.selector, err = v.workload.podSelector(); err != nil {
		return nil, err
	}
	return v, f.lookAtPods(ctx, w, v)
}

func (f *Flusher) lookAtPods(ctx context.Context, w Workload, v *view) error {
	list, err := f.core.Pods(w.Namespace).List(ctx, metav1.ListOptions{LabelSelector: v.selector})
	if err != nil {
		return fmt.Errorf("read its pods: %w", err)
	}
	for i := range list.Items {
		v.pods[list.Items[i].Name] = &list.Items[i]
	}
	v.podsAt = list.ResourceVersion
	return nil
}

// follow keeps the view current until the workload is stable.
func (f *Flusher) follow(ctx context.Context, w Workload, v *view) error {
	if done, err := v.stable(w); done || err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends a watch that is not being read
	workload, err := f.watchDeclared(ctx, w, v.workloadAt)
	if err != nil {
		return endedOr(err, "watch it")
	}
	defer workload.Stop()
	pods, err := f.core.Pods(w.Namespace).Watch(ctx, metav1.ListOptions{LabelSelector: v.selector, ResourceVersion: v.podsAt})
	if err != nil {
		return endedOr(err, "watch its pods")
	}
	defer pods.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller says what was waited for
		case event, open := <-workload.ResultChan():
			err = take(event, open, v.takeWorkload)
		case event, open := <-pods.ResultChan():
			err = take(event, open, v.takePod)
		}
		if err != nil {
			return err
		}
		if done, err := v.stable(w); done || err != nil {
			return err
		}
	}
}

func (v *view) stable(w Workload) (bool, error) {
	if v.workload.replicas == 0 && !w.AllowEmpty {
		return false, ErrNoReplicas
	}
	return len(v.waiting()) == 0, nil
}

func take(event watch.Event, open bool, into func(object runtime.Object, deleted bool) error) error {
	if !open {
		return errWatchEnded
	}
	switch event.Type {
	case watch.Added, watch.Modified:
		return into(event.Object, false)
	case watch.Deleted:
		return into(event.Object, true)
	case watch.Error:
		return endedOr(apierrors.FromObject(event.Object), "watch")
	case watch.Bookmark:
	}
	return nil
}

// endedOr tells a version that is too old to watch from, after which one reads
// again, from a failure.
func endedOr(err error, doing string) error {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return errWatchEnded
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// unchanged reads the pods again and compares them with those that were asked.
func (f *Flusher) unchanged(ctx context.Context, w Workload, before *view) error {
	now, err := f.look(ctx, w)
	if errors.Is(err, errNotFound) {
		return &ChangedError{Workload: w, Changes: []string{"it is gone"}}
	}
	if err != nil {
		return fmt.Errorf("%s: compare its pods with those that were flushed: %w", w, err)
	}
	if changes := now.changes(before); len(changes) > 0 {
		return &ChangedError{Workload: w, Changes: changes}
	}
	return nil
}
