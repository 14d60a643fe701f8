package dedup

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/signal"
)

// The indexes of the informer cache.
const (
	// byFingerprint contains all requests.
	byFingerprint = "signalFingerprint"
	// byTarget and byInstance contain open requests about one problem.
	byTarget   = "open.target"
	byInstance = "open.instance"
	// byMember contains open overflow requests.
	byMember = "open.member"
)

// clusterLabel distinguishes signals about objects of the same name in several clusters.
const clusterLabel = "cluster"

// annotationInstance keeps the id of the first signal's instance in the cache,
// which has no room for the labels. No object has it.
const annotationInstance = "kubernaut.ai/first-instance"

// AddIndexes adds the indexes that an Opener uses. Call it before the cache starts.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	indexes := map[string]func(*v1alpha1.RemediationRequest) []string{
		byFingerprint: func(r *v1alpha1.RemediationRequest) []string { return []string{r.Spec.SignalFingerprint} },
		byTarget:      ofProblems(func(r *v1alpha1.RemediationRequest) []string { return []string{targetKey(&r.Spec)} }),
		byInstance:    ofProblems(instances),
		byMember:      members,
	}
	for field, values := range indexes {
		err := indexer.IndexField(ctx, &v1alpha1.RemediationRequest{}, field, func(object client.Object) []string {
			request, ok := object.(*v1alpha1.RemediationRequest)
			if !ok {
				return nil
			}
			return values(request)
		})
		if err != nil {
			return fmt.Errorf("index requests by %s: %w", field, err)
		}
	}
	return nil
}

// ofProblems leaves out requests that have ended, and overflow requests, whose
// target and instances are not those of a problem.
func ofProblems(values func(*v1alpha1.RemediationRequest) []string) func(*v1alpha1.RemediationRequest) []string {
	return func(r *v1alpha1.RemediationRequest) []string {
		if !open(r) || r.Spec.SignalType == v1alpha1.SignalTypeOverflow {
			return nil
		}
		return values(r)
	}
}

// instances are the ids of a request's instances that are known to fire.
func instances(r *v1alpha1.RemediationRequest) []string {
	if r.Status.Signals == nil {
		return []string{r.Annotations[annotationInstance]}
	}
	ids := make([]string, 0, len(r.Status.Signals.Instances))
	for _, instance := range r.Status.Signals.Instances {
		ids = append(ids, instance.ID)
	}
	return ids
}

// Trim removes the fields that the cache of requests does not need, so that its
// memory does not depend on what sources send.
func Trim(object any) (any, error) {
	r, ok := object.(*v1alpha1.RemediationRequest)
	if !ok {
		return object, nil
	}
	r.ManagedFields = nil
	r.OwnerReferences = nil
	r.Labels = kept(r.Labels, v1alpha1.LabelManagedBy)
	r.Annotations = kept(r.Annotations, v1alpha1.AnnotationSender, v1alpha1.AnnotationOpening)
	r.Annotations[annotationInstance] = signal.InstanceID(r.Spec.Labels)
	r.Spec.Labels = kept(r.Spec.Labels, clusterLabel)
	r.Spec.Annotations = nil
	r.Spec.ProviderData = ""
	r.Spec.OriginalPayload = ""
	r.Status.Message = ""
	r.Status.Conditions = nil
	if s := r.Status.Signals; s != nil {
		ids := make([]v1alpha1.SignalInstance, len(s.Instances))
		for i := range s.Instances {
			ids[i].ID = s.Instances[i].ID
		}
		r.Status.Signals = &v1alpha1.SignalInstances{Instances: ids}
	}
	return r, nil
}

// kept copies the values of some keys.
func kept(from map[string]string, keys ...string) map[string]string {
	to := make(map[string]string, len(keys)+1)
	for _, key := range keys {
		if value, ok := from[key]; ok {
			to[key] = value
		}
	}
	return to
}

func targetKey(spec *v1alpha1.RemediationRequestSpec) string {
	t := spec.TargetResource
	return spec.Labels[clusterLabel] + "/" + t.Namespace + "/" + t.Kind + "/" + t.Name + "/" + spec.SignalName
}

func open(request *v1alpha1.RemediationRequest) bool {
	return request.DeletionTimestamp.IsZero() && !request.Status.Phase.Terminal()
}

// proposals returns the requests that the cache has under a value of an index,
// the oldest first.
func proposals(ctx context.Context, cache client.Reader, index, value string) ([]v1alpha1.RemediationRequest, error) {
	var list v1alpha1.RemediationRequestList
	if err := cache.List(ctx, &list, client.MatchingFields{index: value}); err != nil {
		return nil, fmt.Errorf("look up requests: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.RemediationRequest) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return list.Items, nil
}
