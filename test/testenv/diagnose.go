package testenv

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail"
)

// maxDiagnosed bounds the correlation ids that a diagnosis describes.
const maxDiagnosed = 8

// Sources are what a diagnosis reads.
type Sources struct {
	// Client finds resources and Kubernetes events in all namespaces.
	Client client.Client
	// StoreStates reads the state of each service's audit store, without flushing it.
	StoreStates func(context.Context) []StoreState
	// Stored reads the events of a correlation id that are stored; Flushed
	// flushes all services for it first.
	Stored, Flushed func(ctx context.Context, correlationID string) (Trail, error)
}

// Diagnose describes the correlation ids that the current spec tracked: first
// where the pipeline of each stopped, then trail, resources and Kubernetes
// events. The errors of what cannot be read are part of the text.
func (e *Evidence) Diagnose(ctx context.Context, s Sources) string {
	tracked, read := e.snapshot()
	var more string
	if len(tracked) > maxDiagnosed {
		more = fmt.Sprintf("(and %d more correlation ids)\n", len(tracked)-maxDiagnosed)
		tracked = tracked[:maxDiagnosed]
	}
	// Before a flush changes them.
	states := s.StoreStates(ctx)
	var summaries, details strings.Builder
	for _, id := range tracked {
		f := &findings{id: id, states: states}
		f.read, f.wasRead = read[id]
		s.investigate(ctx, f)
		_, _ = fmt.Fprintf(&summaries, "%s\n", f.summary())
		_, _ = fmt.Fprintf(&details, "=== %s\n%s\n%s\n%s\n", id, f.describeTrail(), f.describeResources(), s.describeEvents(ctx, id))
	}
	return summaries.String() + more + details.String()
}

func (s *Sources) investigate(ctx context.Context, f *findings) {
	if f.stored, f.storedErr = s.Stored(ctx, f.id); f.storedErr != nil {
		f.flushErr = f.storedErr
	} else {
		f.flushed, f.flushErr = s.Flushed(ctx, f.id)
	}
	var requests v1alpha1.RemediationRequestList
	if f.requestErr = s.find(ctx, &requests, f.id); len(requests.Items) > 0 {
		f.request = &requests.Items[0]
	}
	var processings v1alpha1.SignalProcessingList
	if f.processingErr = s.find(ctx, &processings, f.id); len(processings.Items) > 0 {
		f.processing = &processings.Items[0]
	}
}

// find searches all namespaces: a request is in the namespace of its target or of
// the Gateway.
func (s *Sources) find(ctx context.Context, list client.ObjectList, name string) error {
	if err := s.Client.List(ctx, list, client.MatchingFields{"metadata.name": name}); err != nil {
		return fmt.Errorf("look for it: %w", err)
	}
	return nil
}

func (f *findings) describeTrail() string {
	var text strings.Builder
	if f.wasRead {
		_, _ = fmt.Fprintf(&text, "trail, as the spec read it:\n%s\n", f.read)
	}
	switch {
	case f.storedErr != nil:
		_, _ = fmt.Fprintf(&text, "trail: %v\n", f.storedErr)
	case f.flushErr != nil:
		_, _ = fmt.Fprintf(&text, "trail, as stored now, because the flush failed (%v):\n%s", f.flushErr, f.stored)
	default:
		_, _ = fmt.Fprintf(&text, "trail now, flushed:\n%s", f.flushed)
	}
	return text.String()
}

func (f *findings) describeResources() string {
	var text strings.Builder
	describe := func(kind string, object client.Object, err error) {
		if err != nil {
			_, _ = fmt.Fprintf(&text, "%s: %v\n", kind, err)
			return
		}
		object.SetManagedFields(nil)
		content, err := yaml.Marshal(object)
		if err != nil {
			content = []byte(err.Error())
		}
		_, _ = fmt.Fprintf(&text, "%s:\n%s", kind, content)
	}
	if f.request != nil || f.requestErr != nil {
		describe("RemediationRequest", f.request, f.requestErr)
	}
	if f.processing != nil || f.processingErr != nil {
		describe("SignalProcessing", f.processing, f.processingErr)
	}
	return text.String()
}

func (s *Sources) describeEvents(ctx context.Context, id string) string {
	var events corev1.EventList
	err := s.Client.List(ctx, &events, client.MatchingFields{"involvedObject.name": id})
	if err != nil {
		return fmt.Sprintf("kubernetes events: %v", err)
	}
	if meta.LenList(&events) == 0 {
		return "kubernetes events: none"
	}
	var text strings.Builder
	text.WriteString("kubernetes events:\n")
	for i := range events.Items {
		event := &events.Items[i]
		_, _ = fmt.Fprintf(&text, "%s %s %s: %s\n", event.Type, event.InvolvedObject.Kind, event.Reason, event.Message)
	}
	return text.String()
}

// Diagnose describes the correlation ids that the current spec tracked; see Evidence.
func (e *Env) Diagnose(ctx context.Context) string {
	return e.Evidence.Diagnose(ctx, Sources{
		Client:      e,
		StoreStates: func(ctx context.Context) []StoreState { return storeStates(ctx, e.ManagementURLs) },
		Flushed:     e.Pipeline.AuditTrail,
		Stored: func(ctx context.Context, id string) (Trail, error) {
			reader, err := audittrail.NewReader(audittrail.Options{DataStorageURL: e.DataStorage.URL})
			if err != nil {
				return nil, err
			}
			return reader.Read(ctx, id)
		},
	})
}
