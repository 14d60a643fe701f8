package target

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/services/gateway/internal/target/rules"
)

// Objects is a cluster of given objects, to try rules without a cluster. It serves
// the kinds of its objects. It is immutable.
type Objects struct {
	client.Reader // for the methods that nobody calls

	objects map[string]*unstructured.Unstructured
}

// NewObjects reads the objects from their JSON form.
func NewObjects(objects []json.RawMessage) (*Objects, error) {
	o := &Objects{objects: make(map[string]*unstructured.Unstructured, len(objects))}
	for i, raw := range objects {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return nil, fmt.Errorf("object %d: %w", i, err)
		}
		o.objects[objectName(object.GroupVersionKind().GroupKind(), object.GetNamespace(), object.GetName())] = object
	}
	return o, nil
}

func objectName(kind schema.GroupKind, namespace, name string) string {
	return strings.Join([]string{kind.String(), namespace, name}, "/")
}

// Get implements client.Reader.
func (o *Objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind := into.GetObjectKind().GroupVersionKind()
	object, ok := o.objects[objectName(kind.GroupKind(), key.Namespace, key.Name)]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: strings.ToLower(kind.Kind)}, key.Name) //nolint:wrapcheck // as an API server answers
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
		return fmt.Errorf("read %s %s: %w", kind.Kind, key.Name, err)
	}
	return nil
}

// List implements client.Reader for nodes.
func (o *Objects) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	nodes, ok := into.(*corev1.NodeList)
	if !ok {
		return apierrors.NewForbidden(schema.GroupResource{}, "", nil) //nolint:wrapcheck // as an API server answers
	}
	for _, object := range o.objects {
		if object.GroupVersionKind() != corev1.SchemeGroupVersion.WithKind("Node") {
			continue
		}
		var node corev1.Node
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &node); err != nil {
			return fmt.Errorf("list nodes: %w", err)
		}
		nodes.Items = append(nodes.Items, node)
	}
	return nil
}

// ServerPreferredResourcesWithContext implements Discovery.
func (o *Objects) ServerPreferredResourcesWithContext(context.Context) ([]*metav1.APIResourceList, error) {
	var lists []*metav1.APIResourceList
	for _, object := range o.objects {
		kind := object.GroupVersionKind()
		if _, ok := rules.BuiltInKind(kind.GroupKind().String()); ok {
			continue
		}
		resource := metav1.APIResource{
			Name: strings.ToLower(kind.Kind) + "s", Kind: kind.Kind, Namespaced: object.GetNamespace() != "", Verbs: metav1.Verbs{"get"},
		}
		known := slices.ContainsFunc(lists, func(l *metav1.APIResourceList) bool {
			return l.GroupVersion == kind.GroupVersion().String() && l.APIResources[0].Kind == kind.Kind
		})
		if !known {
			lists = append(lists, &metav1.APIResourceList{GroupVersion: kind.GroupVersion().String(), APIResources: []metav1.APIResource{resource}})
		}
	}
	return lists, nil
}
