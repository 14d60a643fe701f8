package testenv

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/service/trail"
)

// Forget begins a new spec: what the last one tracked is its own affair.
func (e *Env) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tracked, e.read = nil, map[string]Trail{}
}

// Diagnose describes what is known of the correlation ids that the present
// spec tracked: resources, trail and Kubernetes events. What cannot be read is
// named in its place.
func (e *Env) Diagnose(ctx context.Context) string {
	e.mu.Lock()
	ids, read := slices.Clone(e.tracked), maps.Clone(e.read)
	e.mu.Unlock()
	var text strings.Builder
	seen := map[string]bool{}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			_, _ = fmt.Fprintf(&text, "=== %s in namespace %s\n", id, e.Namespace)
			if trail, ok := read[id]; ok {
				_, _ = fmt.Fprintf(&text, "trail, as the spec read it:\n%s\n", trail)
			}
			_, _ = fmt.Fprintf(&text, "%s\n%s\n%s\n", e.describeTrail(ctx, id), e.describeResources(ctx, id), e.describeEvents(ctx, id))
		}
	}
	return text.String()
}

func (e *Env) describeTrail(ctx context.Context, id string) string {
	title := "trail now, flushed:"
	events, err := e.Pipeline.AuditTrail(ctx, id)
	if err != nil {
		title = fmt.Sprintf("trail, as stored at the moment, because the flush failed (%v):", err)
		reader, err := trail.NewReader(trail.Options{DataStorageURL: e.DataStorage.URL})
		if err != nil {
			return err.Error()
		}
		stored, err := reader.Read(ctx, id)
		if err != nil {
			return fmt.Sprintf("%s %v", title, err)
		}
		events = stored
	}
	return title + "\n" + events.String()
}

func (e *Env) describeResources(ctx context.Context, id string) string {
	var text strings.Builder
	for _, object := range []client.Object{&v1alpha1.RemediationRequest{}, &v1alpha1.SignalProcessing{}} {
		name := strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1alpha1.")
		if err := e.Get(ctx, client.ObjectKey{Namespace: e.Namespace, Name: id}, object); err != nil {
			_, _ = fmt.Fprintf(&text, "%s: %v\n", name, err)
			continue
		}
		object.SetManagedFields(nil)
		content, err := yaml.Marshal(object)
		if err != nil {
			content = []byte(err.Error())
		}
		_, _ = fmt.Fprintf(&text, "%s:\n%s", name, content)
	}
	return text.String()
}

func (e *Env) describeEvents(ctx context.Context, id string) string {
	var events corev1.EventList
	err := e.List(ctx, &events, client.InNamespace(e.Namespace), client.MatchingFields{"involvedObject.name": id})
	if err != nil {
		return fmt.Sprintf("kubernetes events: %v", err)
	}
	var text strings.Builder
	text.WriteString("kubernetes events:\n")
	for i := range events.Items {
		event := &events.Items[i]
		_, _ = fmt.Fprintf(&text, "%s %s %s: %s\n", event.Type, event.InvolvedObject.Kind, event.Reason, event.Message)
	}
	return text.String()
}
