package dedup

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// The indexes of the informer cache. They contain open requests only.
const (
	byFingerprint = "open.signalFingerprint"
	byTarget      = "open.target"
)

// clusterLabel distinguishes signals about objects of the same name in several clusters.
const clusterLabel = "cluster"

// AddIndexes adds the indexes that an Opener uses. Call it before the cache starts.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	indexes := map[string]func(*v1alpha1.RemediationRequest) string{
		byFingerprint: func(r *v1alpha1.RemediationRequest) string { return r.Spec.SignalFingerprint },
		byTarget:      func(r *v1alpha1.RemediationRequest) string { return targetKey(&r.Spec) },
	}
	for field, value := range indexes {
		err := indexer.IndexField(ctx, &v1alpha1.RemediationRequest{}, field, func(object client.Object) []string {
			request, ok := object.(*v1alpha1.RemediationRequest)
			if !ok || !open(request) {
				return nil
			}
			return []string{value(request)}
		})
		if err != nil {
			return fmt.Errorf("index requests by %s: %w", field, err)
		}
	}
	return nil
}

// Trim removes the fields that the cache of requests does not need, so that its
// memory does not depend on what sources send.
func Trim(object any) (any, error) {
	if request, ok := object.(*v1alpha1.RemediationRequest); ok {
		request.ManagedFields = nil
		request.Annotations = nil
		request.Spec.Labels = map[string]string{clusterLabel: request.Spec.Labels[clusterLabel]}
		request.Spec.Annotations = nil
		request.Spec.ProviderData = ""
		request.Spec.OriginalPayload = ""
		request.Status.Conditions = nil
	}
	return object, nil
}

func targetKey(spec *v1alpha1.RemediationRequestSpec) string {
	t := spec.TargetResource
	return spec.Labels[clusterLabel] + "/" + t.Namespace + "/" + t.Kind + "/" + t.Name + "/" + spec.SignalName
}

func open(request *v1alpha1.RemediationRequest) bool {
	return request.DeletionTimestamp.IsZero() && !request.Status.Phase.Terminal()
}

// proposals returns the open requests that the cache has under a value of an
// index, the oldest first.
func proposals(ctx context.Context, cache client.Reader, index, value string) ([]v1alpha1.RemediationRequest, error) {
	var list v1alpha1.RemediationRequestList
	if err := cache.List(ctx, &list, client.MatchingFields{index: value}); err != nil {
		return nil, fmt.Errorf("look up open requests: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.RemediationRequest) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return list.Items, nil
}
