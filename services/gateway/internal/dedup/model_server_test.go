package dedup_test

import (
	"fmt"
	"strconv"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// defect is a deliberate fault of the API server, with which the tests prove
// that the model notices a broken protocol.
type defect string

const (
	noDefect             defect = ""
	unconditionalUpdates defect = "updates ignore the resource version"
	unconditionalDeletes defect = "deletes ignore preconditions"
	overwritingCreates   defect = "creates overwrite existing objects"
)

// apiServer holds the objects of one cluster. Only the scheduler's goroutine
// touches it, so each of its methods is one atomic step. UIDs and resource
// versions depend on the caller and the object alone, not on the order of the
// steps: so different orders of independent steps lead to equal states.
type apiServer struct {
	defect  defect
	objects map[string]client.Object // by kind, namespace and name
	// versions are the latest resource versions. They outlive their object.
	versions map[string]int
}

func newAPIServer(d defect) *apiServer {
	return &apiServer{defect: d, objects: map[string]client.Object{}, versions: map[string]int{}}
}

func objectKey(object client.Object, key types.NamespacedName) string {
	switch object.(type) {
	case *coordinationv1.Lease:
		return "lease " + key.String()
	case *v1alpha1.RemediationRequest:
		return "request " + key.String()
	default:
		return "namespace " + key.Name
	}
}

func (s *apiServer) get(key types.NamespacedName, into client.Object) error {
	stored, ok := s.objects[objectKey(into, key)]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	copyObject(stored, into)
	return nil
}

func (s *apiServer) create(object client.Object, uid types.UID) error {
	key := objectKey(object, client.ObjectKeyFromObject(object))
	if _, ok := s.objects[key]; ok && s.defect != overwritingCreates {
		return apierrors.NewAlreadyExists(schema.GroupResource{}, object.GetName())
	}
	if namespace := object.GetNamespace(); namespace != modelNamespace && s.objects["namespace "+namespace] == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, namespace)
	}
	object.SetUID(uid)
	object.SetCreationTimestamp(metav1.NewTime(modelNow()))
	s.store(key, object)
	return nil
}

func (s *apiServer) update(object client.Object) error {
	key := objectKey(object, client.ObjectKeyFromObject(object))
	stored, ok := s.objects[key]
	switch {
	case !ok:
		return apierrors.NewNotFound(schema.GroupResource{}, object.GetName())
	case stored.GetResourceVersion() != object.GetResourceVersion() && s.defect != unconditionalUpdates:
		return conflict(object)
	}
	s.store(key, object)
	return nil
}

func (s *apiServer) delete(object client.Object, conditions metav1.Preconditions) error {
	key := objectKey(object, client.ObjectKeyFromObject(object))
	stored, ok := s.objects[key]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{}, object.GetName())
	}
	if s.defect != unconditionalDeletes {
		if conditions.UID != nil && *conditions.UID != stored.GetUID() {
			return conflict(object)
		}
		if conditions.ResourceVersion != nil && *conditions.ResourceVersion != stored.GetResourceVersion() {
			return conflict(object)
		}
	}
	if len(stored.GetFinalizers()) == 0 {
		delete(s.objects, key)
		return nil
	}
	deleting, ok := stored.DeepCopyObject().(client.Object)
	if !ok {
		panic(fmt.Sprintf("%T is not an object", stored))
	}
	at := metav1.NewTime(modelNow())
	deleting.SetDeletionTimestamp(&at)
	s.store(key, deleting)
	return nil
}

func (s *apiServer) store(key string, object client.Object) {
	s.versions[key]++
	object.SetResourceVersion(strconv.Itoa(s.versions[key]))
	stored, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		panic(fmt.Sprintf("%T is not an object", object))
	}
	s.objects[key] = stored
}

// requests returns the stored requests.
func (s *apiServer) requests() []*v1alpha1.RemediationRequest {
	var all []*v1alpha1.RemediationRequest
	for _, key := range sortedKeys(s.objects) {
		if r, ok := s.objects[key].(*v1alpha1.RemediationRequest); ok {
			all = append(all, r)
		}
	}
	return all
}

func (s *apiServer) leases() []*coordinationv1.Lease {
	var all []*coordinationv1.Lease
	for _, key := range sortedKeys(s.objects) {
		if l, ok := s.objects[key].(*coordinationv1.Lease); ok {
			all = append(all, l)
		}
	}
	return all
}

func conflict(object client.Object) error {
	return apierrors.NewConflict(schema.GroupResource{}, object.GetName(), nil)
}

func copyObject(from, into client.Object) {
	switch stored := from.(type) {
	case *coordinationv1.Lease:
		if lease, ok := into.(*coordinationv1.Lease); ok {
			stored.DeepCopyInto(lease)
		}
	case *v1alpha1.RemediationRequest:
		if request, ok := into.(*v1alpha1.RemediationRequest); ok {
			stored.DeepCopyInto(request)
		}
	case *metav1.PartialObjectMetadata:
		if namespace, ok := into.(*metav1.PartialObjectMetadata); ok {
			stored.DeepCopyInto(namespace)
		}
	}
}
