package webhook

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/heartbeat"
)

// Heartbeats tells heartbeats from problems.
type Heartbeats interface {
	Match(spec *v1alpha1.RemediationRequestSpec) (expected []*heartbeat.Beat, isHeartbeat bool)
}

// heartbeat is the result of a signal that fires while all is well. An expected
// heartbeat counts if its sender may report on what it is about, since its absence
// would be reported there.
func (a *api) heartbeat(ctx context.Context, i *item, expected []*heartbeat.Beat) (result, bool, error) {
	if i.Resolved {
		expected = nil
	}
	refused, counted := result{}, false
	for _, beat := range expected {
		r, forbidden, err := a.permitIn(ctx, i, i.scopeOf(beat.Namespace()))
		if err != nil {
			return result{}, true, err
		}
		if forbidden {
			refused = r
			continue
		}
		if err := beat.Seen(ctx); err != nil {
			return result{}, true, fmt.Errorf("signal %s: %w", i.Spec.SignalName, err)
		}
		counted = true
	}
	if refused.forbidden != "" && !counted {
		return refused, true, nil
	}
	return newResult(statusIgnored, "", types.NamespacedName{}, "a heartbeat: it fires while all is well"), true, nil
}
