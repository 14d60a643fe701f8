package kubernetesevent

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/decode"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Source is the name of these senders in metrics and audit events.
const Source = "kubernetes-event"

// reference is the object that an event is about.
type reference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	FieldPath  string `json:"fieldPath"`
}

// event has the fields of v1 and, where they have other names, of
// events.k8s.io/v1. See https://kubernetes.io/docs/reference/kubernetes-api/core/event-v1/.
type event struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name              string         `json:"name"`
		Namespace         string         `json:"namespace"`
		UID               string         `json:"uid"`
		CreationTimestamp decode.Lenient `json:"creationTimestamp"`
	} `json:"metadata"`
	Reason    string         `json:"reason"`
	Type      string         `json:"type"`
	EventTime decode.Lenient `json:"eventTime"`

	InvolvedObject     *reference     `json:"involvedObject"`
	Message            string         `json:"message"`
	FirstTimestamp     decode.Lenient `json:"firstTimestamp"`
	Count              decode.Lenient `json:"count"`
	ReportingComponent string         `json:"reportingComponent"`
	Reporter           struct {
		Component string `json:"component"`
		Host      string `json:"host"`
	} `json:"source"`

	Regarding                *reference     `json:"regarding"`
	Note                     string         `json:"note"`
	DeprecatedFirstTimestamp decode.Lenient `json:"deprecatedFirstTimestamp"`
	ReportingController      string         `json:"reportingController"`
	Series                   struct {
		Count decode.Lenient `json:"count"`
	} `json:"series"`
}

// Parse reads an event. An event that many objects share, such as a list, is not accepted.
func Parse(b *body.Reader, receivedAt time.Time) (*signal.Notification, error) {
	var wrong signal.Complaints
	text, err := document(b, &wrong)
	switch {
	case errors.Is(err, decode.ErrSyntax):
		return nil, wrong.Invalid() //nolint:wrapcheck // names the fields
	case err != nil:
		return nil, err
	}
	var e event
	if err := json.Unmarshal(text, &e, decode.Options()); err != nil {
		decode.Value(&wrong, "", err)
		return nil, wrong.Invalid() //nolint:wrapcheck // names the fields
	}
	e.check(&wrong)
	if invalid := wrong.Invalid(); invalid != nil {
		invalid.Hint = hint(&e)
		return nil, invalid //nolint:wrapcheck // names the fields
	}
	return &signal.Notification{
		Source: Source, Receiver: printable.Storable(e.component(), signal.MaxName),
		Observations: signal.List{e.observe(text, receivedAt)},
	}, nil
}

// document reads the only JSON value of a body.
func document(b *body.Reader, wrong *signal.Complaints) ([]byte, error) {
	d := jsontext.NewDecoder(b, decode.Options())
	value, err := d.ReadValue()
	if err != nil {
		return nil, decode.Text(wrong, err) //nolint:wrapcheck // the body's error is returned unchanged
	}
	text := bytes.Clone(value)
	switch _, err = d.ReadToken(); {
	case errors.Is(err, io.EOF):
		return text, nil
	case err == nil:
		wrong.Addf("body", "unexpected data after the JSON document")
		return nil, decode.ErrSyntax
	default:
		return nil, decode.Text(wrong, err) //nolint:wrapcheck // the body's error is returned unchanged
	}
}

// check reports missing and invalid fields.
func (e *event) check(wrong *signal.Complaints) {
	if e.Kind != "" && e.Kind != "Event" {
		wrong.Addf("kind", "want Event, got %q", printable.Storable(e.Kind, signal.MaxSeverity))
	}
	bounded(wrong, "reason", e.Reason, signal.MaxName)
	path, object := "involvedObject", e.InvolvedObject
	if object == nil && e.Regarding != nil {
		path, object = "regarding", e.Regarding
	}
	if object == nil {
		wrong.Addf(path, "is required, or regarding in events.k8s.io/v1: the object that the event is about")
		return
	}
	bounded(wrong, path+".kind", object.Kind, signal.MaxSeverity)
	bounded(wrong, path+".name", object.Name, signal.MaxName)
}

// bounded reports a text that is missing or too long to identify anything.
func bounded(wrong *signal.Complaints, path, text string, limit int) {
	switch {
	case strings.TrimSpace(text) == "":
		wrong.Addf(path, "is required")
	case len(text) > limit:
		wrong.Addf(path, "is %d bytes long: at most %d are taken", len(text), limit)
	}
}

// hint tells what to change, from the kind of a body that is no event.
func hint(e *event) string {
	if strings.HasSuffix(e.Kind, "List") {
		return "this is a list: post its items one by one"
	}
	return ""
}

func (e *event) object() *reference {
	if e.InvolvedObject != nil {
		return e.InvolvedObject
	}
	return e.Regarding
}

// component is the program that reported the event.
func (e *event) component() string {
	return first(e.ReportingComponent, e.ReportingController, e.Reporter.Component, Source)
}

// first returns the first text that is not empty.
func first[T ~string](texts ...T) T {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// observe makes the signal. An event never resolves: it says that something
// happened, and whether that goes on only a further event tells.
func (e *event) observe(text []byte, receivedAt time.Time) signal.Observation {
	object := e.object()
	began := first(e.FirstTimestamp, e.DeprecatedFirstTimestamp, e.EventTime, e.Metadata.CreationTimestamp)
	start, note := signal.Start("firstTimestamp", string(began), receivedAt)
	firing := start
	if note != "" {
		firing = receivedAt
	}
	target := v1alpha1.TargetResource{
		APIVersion: signal.Shown(object.APIVersion, signal.MaxName),
		Kind:       signal.Shown(object.Kind, signal.MaxSeverity),
		Name:       signal.Shown(object.Name, signal.MaxName),
		Namespace:  signal.Shown(object.Namespace, signal.MaxSeverity),
	}
	labels := e.labels(&target)
	return signal.Observation{
		Labels: labels, Target: &target, StartsAt: start, StartsAtNote: note,
		Spec: v1alpha1.RemediationRequestSpec{
			Signal: v1alpha1.Signal{
				SignalName:   signal.Shown(e.Reason, signal.MaxName),
				SignalType:   v1alpha1.SignalTypeKubernetesEvent,
				SignalSource: signal.Shown(e.component(), signal.MaxName),
				Severity:     signal.Shown(strings.ToLower(e.Type), signal.MaxSeverity),
				FiringTime:   signal.MicroTime(firing),
				ReceivedTime: signal.MicroTime(receivedAt),
				Labels:       signal.Bounded(labels),
				Annotations:  signal.Bounded(annotations(first(e.Message, e.Note))),
			},
			ProviderData:    e.providerData(),
			OriginalPayload: signal.Payload(text),
		},
	}
}

// labels identify the instance: the same event of the same object has the same.
func (e *event) labels(target *v1alpha1.TargetResource) map[string]string {
	labels := map[string]string{
		"reason": e.Reason, "type": e.Type, "component": e.component(),
		"kind": target.Kind, "name": target.Name, "namespace": target.Namespace,
	}
	for key, value := range labels {
		if value == "" {
			delete(labels, key)
		}
	}
	return labels
}

func annotations(message string) map[string]string {
	if message == "" {
		return nil
	}
	return map[string]string{"message": message}
}

// provided is what an event has beyond the fields of a signal.
type provided struct {
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	UID       string `json:"uid,omitempty"`
	ObjectUID string `json:"objectUID,omitempty"`
	FieldPath string `json:"fieldPath,omitempty"`
	Host      string `json:"host,omitempty"`
	Count     string `json:"count,omitempty"`
}

func (e *event) providerData() string {
	object := e.object()
	text, err := stdjson.Marshal(provided{
		Name:      printable.Storable(e.Metadata.Name, signal.MaxName),
		Namespace: printable.Storable(e.Metadata.Namespace, signal.MaxName),
		UID:       printable.Storable(e.Metadata.UID, signal.MaxName),
		ObjectUID: printable.Storable(object.UID, signal.MaxName),
		FieldPath: printable.Storable(object.FieldPath, signal.MaxName),
		Host:      printable.Storable(e.Reporter.Host, signal.MaxName),
		Count:     printable.Storable(string(first(e.Series.Count, e.Count)), signal.MaxSeverity),
	})
	if err != nil {
		return ""
	}
	return string(text)
}
