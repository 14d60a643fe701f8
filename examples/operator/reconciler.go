package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audit"
)

const (
	trackedLabel     = "configtrail.example.com/tracked"
	digestAnnotation = "configtrail.example.com/digest"
	sinceAnnotation  = "configtrail.example.com/digest-since"

	configChanged = "configtrail.config.changed"
)

// change is the payload of configtrail.config.changed. The digests say what
// changed without copying what may be secret.
type change struct {
	From string `json:"from,omitempty"`
	To   string `json:"to"`
}

// Reconciler records each change of a tracked ConfigMap's data.
type Reconciler struct {
	client.Client

	// Audit records the events; its defaults name this operator.
	Audit *audit.Defaults
	Now   func() time.Time
}

// Reconcile records the change, and then shows it in the annotations.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var object corev1.ConfigMap
	if err := r.Get(ctx, request.NamespacedName, &object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) //nolint:wrapcheck // names the object
	}
	to, err := digestOf(&object)
	if err != nil {
		return ctrl.Result{}, err
	}
	from := object.Annotations[digestAnnotation]
	if from == to {
		return ctrl.Result{}, nil
	}

	event := audit.Event{
		ID:            audit.DerivedID(stateSince(&object), string(object.UID), configChanged, from, to),
		Type:          configChanged,
		Action:        "changed",
		Outcome:       audit.OutcomeSuccess,
		CorrelationID: string(object.UID),
		ResourceType:  "ConfigMap",
		ResourceID:    object.Name,
		Namespace:     object.Namespace,
	}
	if err := r.Audit.RecordData(ctx, &event, change{From: from, To: to}); err != nil {
		return ctrl.Result{}, fmt.Errorf("record the change of %s: %w", request, err)
	}

	before := object.DeepCopy()
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	object.Annotations[digestAnnotation] = to
	object.Annotations[sinceAnnotation] = r.Now().UTC().Format(time.RFC3339Nano)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Patch(ctx, &object, patch); err != nil {
		return ctrl.Result{}, fmt.Errorf("annotate %s: %w", request, err)
	}
	return ctrl.Result{}, nil
}

// stateSince is when the object entered the state that its annotations show.
func stateSince(object *corev1.ConfigMap) time.Time {
	since, err := time.Parse(time.RFC3339Nano, object.Annotations[sinceAnnotation])
	if err != nil { // none was written yet
		return object.CreationTimestamp.Time
	}
	return since
}

// digestOf is the SHA-256 of the data. JSON has the keys in order.
func digestOf(object *corev1.ConfigMap) (string, error) {
	text, err := json.Marshal([]any{object.Data, object.BinaryData})
	if err != nil {
		return "", fmt.Errorf("digest of %s/%s: %w", object.Namespace, object.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
