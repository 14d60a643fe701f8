package mustgather

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// eventSteps collect the events of the namespaces from those of all namespaces, which timelines need; or with a
// request for each namespace where these cannot be read.
func (r *run) eventSteps(all *steps) {
	all.sequence(func(do func(name string, collect collector)) {
		var found map[string][]corev1.Event
		do("events of all namespaces", func(ctx context.Context, s *step) (err error) {
			found, err = s.findEvents(ctx)
			return err
		})
		for _, namespace := range r.Namespaces {
			do("events in "+namespace, func(ctx context.Context, s *step) error {
				if found != nil {
					return s.writeEvents(namespace, found[namespace])
				}
				return s.collectEvents(ctx, namespace)
			})
		}
	})
}

// findEvents reads the events for timelines, and returns them by their namespaces.
func (s *step) findEvents(ctx context.Context) (map[string][]corev1.Event, error) {
	list, err := s.lists.CoreV1().Events("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, by(err, "kubectl get events -A")
	}
	s.mu.Lock()
	s.events = list.Items
	s.mu.Unlock()
	found := map[string][]corev1.Event{}
	for i := range list.Items {
		if namespace := list.Items[i].Namespace; slices.Contains(s.Namespaces, namespace) {
			found[namespace] = append(found[namespace], list.Items[i])
		}
	}
	return found, nil
}

func (s *step) collectEvents(ctx context.Context, namespace string) error {
	list, err := s.lists.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return by(err, "kubectl get events -n %s", namespace)
	}
	return s.writeEvents(namespace, list.Items)
}

// writeEvents writes the events of a namespace, as objects and as lines in order of time.
func (s *step) writeEvents(namespace string, events []corev1.Event) error {
	lines := make([]string, len(events))
	items := make([]any, 0, len(events))
	var errs []error
	for i := range events {
		e := events[i]
		lines[i] = strings.Join([]string{
			eventTime(&e), e.Type, e.Reason, e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, strconv.Itoa(int(max(1, e.Count))), fmt.Sprintf("%q", e.Message),
		}, "\t") + "\n"
		e.APIVersion, e.Kind = "v1", "Event" // the items of a list have none
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&e)
		if err != nil {
			errs = append(errs, fmt.Errorf("write event %s: %w", e.Name, err))
			continue
		}
		s.files.redact.Object(object)
		items = append(items, object)
	}
	slices.Sort(lines)
	return errors.Join(append(errs,
		s.saveList(schema.GroupVersionResource{Version: "v1", Resource: "events"}, namespace, items),
		s.files.save("namespaces/"+namespace+"/events.txt", strings.Join(lines, "")))...)
}

// eventTime is the time of an event, which is in one of several fields.
func eventTime(e *corev1.Event) string {
	const form = "2006-01-02T15:04:05.999999Z07:00"
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.UTC().Format(form)
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.UTC().Format(form)
	case !e.EventTime.IsZero():
		return e.EventTime.UTC().Format(form)
	}
	return e.CreationTimestamp.UTC().Format(form)
}
