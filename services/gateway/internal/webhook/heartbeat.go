package webhook

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/heartbeat"
	"kubernaut.ai/services/gateway/internal/signal"
)

// internalCaller is the Gateway itself, for the signals that it reports.
const internalCaller = "gateway"

// Heartbeats tells heartbeats from problems.
type Heartbeats interface {
	Match(spec *v1alpha1.RemediationRequestSpec) (expected []*heartbeat.Beat, isHeartbeat bool)
}

// heartbeat is the result of a signal that fires while all is well. An expected
// heartbeat counts if its sender may report on what it is about, since its absence
// would be reported there.
func (a *API) heartbeat(ctx context.Context, i *item, expected []*heartbeat.Beat) (result, bool, error) {
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
	if refused.forbidden && !counted {
		return refused, true, nil
	}
	return newResult(statusIgnored, "", types.NamespacedName{}, "a heartbeat: it fires while all is well"), true, nil
}

// Deliver processes a signal of the Gateway itself, and returns its request; the
// zero key if it has none. An error means that trying again may help.
func (a *API) Deliver(ctx context.Context, source, id string, o *signal.Observation) (types.NamespacedName, error) {
	ctx, cancel := context.WithTimeout(auth.WithCaller(ctx, auth.Internal(internalCaller)), a.Timeout)
	defer cancel()
	t := auditevents.New(a.Recorder, auditevents.Origin{RequestID: id, Caller: internalCaller, Source: source, Cluster: a.Cluster})
	d := t.Delivery(id, o.Spec.ReceivedTime.Time)
	results, err := a.process(ctx, d, &signal.Notification{Source: source, Observations: []signal.Observation{*o}})
	if err != nil {
		return types.NamespacedName{}, err
	}
	a.metrics.counted(source, results)
	if r := results[0]; r.Status == statusRejected {
		return types.NamespacedName{}, fmt.Errorf("signal %s was rejected: %s", o.Spec.SignalName, r.Message)
	}
	return results[0].request(), nil
}
