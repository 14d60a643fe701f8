package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

const (
	kindDeployment  = "Deployment"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"
)

const (
	annotationRestartedAt = "kubectl.kubernetes.io/restartedAt"
	annotationRevision    = "deployment.kubernetes.io/revision"
)

// operation is one operation of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func add(path string, value any) operation     { return operation{"add", path, value} }
func replace(path string, value any) operation { return operation{"replace", path, value} }
func test(path string, value any) operation    { return operation{"test", path, value} }

// change is what an action does to a target.
type change struct {
	operations []operation
	// depends are the fields that the action depends on and changes, with their values.
	depends map[string]any
}

// NotApplicableError says why an action cannot be applied to a target as it is.
type NotApplicableError struct{ Message string }

func (e *NotApplicableError) Error() string { return e.Message }

func notApplicable(format string, arguments ...any) error {
	return &NotApplicableError{Message: fmt.Sprintf(format, arguments...)}
}

// action works out the change of an action. reader reads what belongs to the target.
func action(
	ctx context.Context, reader client.Reader, a *v1alpha1.WorkflowAction, target *unstructured.Unstructured,
	parameters []v1alpha1.ExecutionParameter, at time.Time,
) (*change, error) {
	kind := target.GetKind()
	if target.GroupVersionKind().GroupVersion() != appsv1.SchemeGroupVersion {
		return nil, notApplicable("no action applies to %s of %s", kind, target.GetAPIVersion())
	}
	switch {
	case a.Restart != nil && (kind == kindDeployment || kind == kindStatefulSet || kind == kindDaemonSet):
		return restart(target, at)
	case a.Rollback != nil && kind == kindDeployment:
		return rollback(ctx, reader, target)
	case a.Scale != nil && (kind == kindDeployment || kind == kindStatefulSet):
		return scale(a.Scale, target, parameters)
	default:
		return nil, notApplicable("the workflow's action does not apply to a %s", kind)
	}
}

// restart adds the annotation by which `kubectl rollout restart` replaces pods.
func restart(target *unstructured.Unstructured, at time.Time) (*change, error) {
	template, err := templateOf(target)
	if err != nil {
		return nil, err
	}
	operations := annotate(template, "/spec/template/metadata", annotationRestartedAt, at.UTC().Format(time.RFC3339))
	return &change{operations: operations, depends: map[string]any{"template": template}}, nil
}

// rollback sets the pod template of the revision before the current one.
func rollback(ctx context.Context, reader client.Reader, target *unstructured.Unstructured) (*change, error) {
	template, err := templateOf(target)
	if err != nil {
		return nil, err
	}
	sets, err := replicaSets(ctx, reader, target)
	if err != nil {
		return nil, err
	}
	var current, previous *appsv1.ReplicaSet
	for i := range sets {
		switch s := &sets[i]; {
		case current == nil || revision(s) > revision(current):
			current, previous = s, current
		case previous == nil || revision(s) > revision(previous):
			previous = s
		}
	}
	if previous == nil || revision(previous) == 0 {
		return nil, notApplicable("Deployment %s has no revision before the current one", target.GetName())
	}
	if observed := target.GetAnnotations()[annotationRevision]; observed != strconv.FormatInt(revision(current), 10) {
		return nil, notApplicable("Deployment %s has not been observed by its controller yet: revision %q, the newest is %d",
			target.GetName(), observed, revision(current))
	}
	restored := previous.Spec.Template.DeepCopy()
	delete(restored.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return &change{
		operations: []operation{replace("/spec/template", restored)},
		depends: map[string]any{
			"template": template, "revision": revision(current), "previousRevision": revision(previous), "previousTemplate": restored,
		},
	}, nil
}

func replicaSets(ctx context.Context, reader client.Reader, target *unstructured.Unstructured) ([]appsv1.ReplicaSet, error) {
	labels, _, err := unstructured.NestedMap(target.Object, "spec", "selector")
	if err != nil {
		return nil, notApplicable("Deployment %s: selector: %v", target.GetName(), err)
	}
	encoded, err := json.Marshal(labels)
	if err != nil {
		return nil, fmt.Errorf("selector of Deployment %s: %w", target.GetName(), err)
	}
	var parsed metav1.LabelSelector
	if err := json.Unmarshal(encoded, &parsed); err != nil {
		return nil, fmt.Errorf("selector of Deployment %s: %w", target.GetName(), err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&parsed)
	if err != nil {
		return nil, notApplicable("Deployment %s: selector: %v", target.GetName(), err)
	}
	var list appsv1.ReplicaSetList
	if err := reader.List(ctx, &list, client.InNamespace(target.GetNamespace()), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("list the revisions of Deployment %s/%s: %w", target.GetNamespace(), target.GetName(), err)
	}
	var own []appsv1.ReplicaSet
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], target) {
			own = append(own, list.Items[i])
		}
	}
	return own, nil
}

// revision of a ReplicaSet; 0 if it has none.
func revision(s *appsv1.ReplicaSet) int64 {
	n, err := strconv.ParseInt(s.Annotations[annotationRevision], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// scale sets the replicas that the parameter asks for, within the action's bounds.
func scale(a *v1alpha1.ScaleAction, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter) (*change, error) {
	current, found, err := unstructured.NestedInt64(target.Object, "spec", "replicas")
	if err != nil || !found {
		return nil, notApplicable("%s %s has no number of replicas", target.GetKind(), target.GetName())
	}
	var wanted int64 = -1
	for _, p := range parameters {
		if p.Name != "replicas" {
			continue
		}
		if wanted, err = strconv.ParseInt(p.Value, 10, 32); err != nil {
			return nil, notApplicable("parameter replicas: %q is not a number", p.Value)
		}
	}
	if wanted < int64(a.MinReplicas) || wanted > int64(a.MaxReplicas) {
		return nil, notApplicable("parameter replicas: want %d to %d", a.MinReplicas, a.MaxReplicas)
	}
	if wanted == current {
		return nil, notApplicable("%s %s has %d replicas already", target.GetKind(), target.GetName(), wanted)
	}
	return &change{
		operations: []operation{replace("/spec/replicas", wanted)},
		depends:    map[string]any{"replicas": current, "minReplicas": a.MinReplicas, "maxReplicas": a.MaxReplicas},
	}, nil
}

func templateOf(target *unstructured.Unstructured) (map[string]any, error) {
	if paused, _, _ := unstructured.NestedBool(target.Object, "spec", "paused"); paused {
		return nil, notApplicable("the rollout of %s %s is paused", target.GetKind(), target.GetName())
	}
	template, found, err := unstructured.NestedMap(target.Object, "spec", "template")
	if err != nil || !found {
		return nil, notApplicable("%s %s has no pod template", target.GetKind(), target.GetName())
	}
	return template, nil
}

// annotate adds an annotation below the metadata at path. object has the metadata.
func annotate(object map[string]any, path, name, value string) []operation {
	var operations []operation
	if metadata, _ := object["metadata"].(map[string]any); metadata == nil {
		operations = append(operations, add(path, map[string]any{}))
	}
	if annotations, _, _ := unstructured.NestedMap(object, "metadata", "annotations"); annotations == nil {
		operations = append(operations, add(path+"/annotations", map[string]any{}))
	}
	return append(operations, add(path+"/annotations/"+escape(name), value))
}

// patch makes the one write of an action: it applies only to the object of the same UID,
// and marks it. With version it applies only to the object as it was read.
func (c *change) patch(target *unstructured.Unstructured, mark string, version bool) (client.Patch, error) {
	operations := []operation{test("/metadata/uid", target.GetUID())}
	if version {
		operations = append(operations, test("/metadata/resourceVersion", target.GetResourceVersion()))
	}
	operations = append(operations, annotate(target.Object, "/metadata", v1alpha1.AnnotationExecution, mark)...)
	encoded, err := json.Marshal(append(operations, c.operations...))
	if err != nil {
		return nil, fmt.Errorf("encode the patch of %s %s: %w", target.GetKind(), target.GetName(), err)
	}
	return client.RawPatch(types.JSONPatchType, encoded), nil
}

// escape makes a name one part of a JSON pointer.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }
