package pauses

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// ConfigMap is the name of the ConfigMap with the namespaces whose pause is on the trail, so
// that an end of the pause is recorded that nobody was there to see. Its data are UIDs by name.
const ConfigMap = "workflowexecution-pauses"

// maxPaused bounds the ConfigMap.
const maxPaused = 5000

// register is the content of the ConfigMap, which only the leader writes.
type register struct {
	object *corev1.ConfigMap // as it was read; without a resource version if there is none
	paused map[string]string
}

// load reads the ConfigMap, unless it is known, and forgets namespaces that are gone.
func (r *Reconciler) load(ctx context.Context) error {
	if r.known != nil {
		return nil
	}
	found := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: ConfigMap}}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(found), found); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read ConfigMap %s/%s: %w", r.Namespace, ConfigMap, err)
	}
	known := &register{object: found, paused: make(map[string]string, len(found.Data))}
	for name, uid := range found.Data {
		err := r.Cached.Get(ctx, client.ObjectKey{Name: name}, namespace(name))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read cached namespace %s: %w", name, err)
		}
		if err == nil {
			known.paused[name] = uid
		}
	}
	r.known = known
	return nil
}

// remember writes that the pause of a namespace is on the trail; without a UID, its end.
func (r *Reconciler) remember(ctx context.Context, name, uid string) error {
	if r.known.paused[name] == uid {
		return nil
	}
	if uid == "" {
		delete(r.known.paused, name)
	} else {
		r.known.paused[name] = uid
	}
	if len(r.known.paused) > maxPaused {
		delete(r.known.paused, name)
		return fmt.Errorf("remember that namespace %s is paused: %d namespaces are paused already: use kubernaut pause for the cluster", name, maxPaused)
	}
	changed := r.known.object.DeepCopy()
	changed.Data = r.known.paused
	var err error
	if changed.ResourceVersion == "" { // the deployment creates it; without one, the service does
		changed.Labels = map[string]string{"app.kubernetes.io/part-of": "kubernaut"}
		err = r.Writer.Create(ctx, changed, client.FieldOwner(fieldManager))
	} else {
		err = r.Writer.Update(ctx, changed, client.FieldOwner(fieldManager))
	}
	if err != nil {
		r.known = nil // somebody else has written it, or it is gone: read it again
		if apierrors.IsNotFound(err) && changed.ResourceVersion != "" {
			return nil
		}
		return fmt.Errorf("write ConfigMap %s/%s: %w", r.Namespace, ConfigMap, err)
	}
	r.known.object = changed
	return nil
}

// writer is the entry of the field manager that owns the label, nil if none does.
func writer(ns *metav1.PartialObjectMetadata) *metav1.ManagedFieldsEntry {
	for i := range ns.ManagedFields {
		entry := &ns.ManagedFields[i]
		if entry.FieldsV1 != nil && bytes.Contains(entry.FieldsV1.GetRawBytes(), []byte(`"f:`+v1alpha1.LabelRemediation+`"`)) {
			return entry
		}
	}
	return nil
}
