package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// kindNode is cluster-scoped.
const kindNode = "Node"

// kinds are the groups, in version v1, of the kinds whose objects are looked up: an alert about
// an object that is gone cannot resolve where its source forgets the object at once.
var kinds = map[string]string{
	"Pod": "", kindNode: "", "PersistentVolumeClaim": "",
	"ReplicaSet": appsv1.GroupName, "Deployment": appsv1.GroupName, "StatefulSet": appsv1.GroupName, "DaemonSet": appsv1.GroupName,
	"Job": batchv1.GroupName, "CronJob": batchv1.GroupName,
}

// +kubebuilder:rbac:groups="",resources=pods;nodes;persistentvolumeclaims,verbs=get
// +kubebuilder:rbac:groups=apps,resources=replicasets;deployments;statefulsets;daemonsets,verbs=get
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get

// look sees which instances of the request's signal fire.
func (s *Stage) look(ctx context.Context, rr *v1alpha1.RemediationRequest, finished time.Time) (*sighting, error) {
	seen := &sighting{now: s.Clock.Now(), finished: finished, latestStart: rr.LatestStart().Time}
	signals := rr.Status.Signals
	if signals == nil { // the signal of the spec is the only one so far
		target := rr.Spec.TargetResource
		signals = &v1alpha1.SignalInstances{Instances: []v1alpha1.SignalInstance{{
			Name: target.Kind + "/" + target.Name, StartsAt: rr.Spec.FiringTime, LastSeenAt: rr.LastSeenAt(),
		}}}
	}
	seen.unlisted = signals.More
	if signals.MoreSeenAt != nil {
		seen.unlistedSeen = signals.MoreSeenAt.Time
	}
	for i := range signals.Instances {
		instance := &signals.Instances[i]
		gone, err := s.gone(ctx, rr.Spec.TargetResource.Namespace, instance)
		switch {
		case err != nil:
			return nil, err
		case gone:
			seen.gone = append(seen.gone, instance.Name)
		default:
			seen.firing = append(seen.firing, *instance)
		}
	}
	return seen, nil
}

// gone reports whether the object that an instance is about is gone. Instances carry no UID; an
// object that was created after the instance began to fire has another UID than the one that
// the instance is about.
func (s *Stage) gone(ctx context.Context, namespace string, instance *v1alpha1.SignalInstance) (bool, error) {
	kind, name, found := strings.Cut(instance.Name, "/")
	group, known := kinds[kind]
	if !found || !known {
		return false, nil
	}
	key := client.ObjectKey{Namespace: namespace, Name: name}
	if kind == kindNode {
		key.Namespace = ""
	} else if namespace == "" {
		return false, nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
	err := s.Live.Get(ctx, key, object)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case apierrors.IsForbidden(err):
		return false, nil // it has to resolve
	case err != nil:
		return false, fmt.Errorf("read %s, about which an alert fires: %w", instance.Name, err)
	}
	return object.CreationTimestamp.After(instance.StartsAt.Time), nil
}
