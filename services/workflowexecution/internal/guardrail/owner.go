package guardrail

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// maxOwners bounds the owner chain, in case references form a cycle.
const maxOwners = 10

// link is an object of an owner chain.
type link struct {
	apiVersion, kind, name string
	uid                    types.UID
}

// topOwner follows the controlling owners of a target, read live: from a Pod over its ReplicaSet
// to the Deployment, or to whatever controls that. A reference carries the owner's UID, so an
// owner that nobody may read, such as a custom resource, still counts; the chain ends there.
func (l *Leases) topOwner(ctx context.Context, t *v1alpha1.ExecutionTarget) (link, error) {
	top := link{t.APIVersion, t.Kind, t.Name, t.UID}
	for depth := range maxOwners {
		object := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: top.apiVersion, Kind: top.kind}}
		err := l.Live.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: top.name}, object)
		switch {
		case apierrors.IsNotFound(err) && !meta.IsNoMatchError(err), err == nil && object.UID != top.uid:
			return top, nil // it is gone; if it is the target, the execution finds that out
		case depth > 0 && (apierrors.IsForbidden(err) || meta.IsNoMatchError(err) || apierrors.IsMethodNotSupported(err)):
			return top, nil
		case err != nil:
			return link{}, fmt.Errorf("read the owner of %s %s/%s: %s %s: %w", t.Kind, t.Namespace, t.Name, top.kind, top.name, err)
		}
		owner := metav1.GetControllerOf(object)
		if owner == nil || owner.APIVersion == "v1" && owner.Kind == "Node" { // the kubelet's own pods
			return top, nil
		}
		top = link{owner.APIVersion, owner.Kind, owner.Name, owner.UID}
	}
	return link{}, fmt.Errorf("%s %s/%s has more than %d owners above one another: remove the ownerReferences that form a cycle",
		t.Kind, t.Namespace, t.Name, maxOwners)
}
