package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/signal"
	"kubernaut.ai/services/gateway/internal/target"
)

// codeInvalid is the error code of an unusable signal.
const codeInvalid = "invalid"

// process processes every signal of a notification, also after one failed. An
// error means that some signals failed and may succeed later.
//
// Signals about one problem are processed one after the other, the firing ones
// first, so that a body gets the same answer whatever the scheduling.
func (a *api) process(ctx context.Context, d *auditevents.Delivery, n *signal.Notification) ([]result, error) {
	before := a.deliveries.get(d.ID())
	batch := newBatch(n.Observations, d, before)
	concurrently(len(batch), func(at int) {
		batch[at].do(ctx, a, func() (result, bool, error) { return a.identify(ctx, batch[at]) })
	})
	if err := a.recordForbidden(ctx, d, batch); err != nil {
		a.deliveries.fail(d.ID(), batch.settled())
		return nil, err
	}
	problems := batch.problems()
	concurrently(len(problems), func(at int) {
		for _, i := range problems[at] {
			i.do(ctx, a, func() (result, bool, error) {
				r, err := a.settle(ctx, i)
				return r, true, err
			})
		}
	})
	results, err := batch.results()
	if err == nil {
		err = a.truncated(ctx, d, n, results)
	}
	if err != nil {
		a.deliveries.fail(d.ID(), batch.settled())
		return nil, err
	}
	a.deliveries.answer(d.ID())
	return results, nil
}

// identify finds out which problem a signal is about, and who may report it. It
// is done with signals that never belong to a request.
func (a *api) identify(ctx context.Context, i *item) (result, bool, error) {
	if i.Invalid != nil {
		r, err := a.invalid(ctx, i)
		return r, true, err
	}
	i.foreign = i.Cluster != "" && a.Cluster != "" && i.Cluster != a.Cluster
	if expected, isHeartbeat := a.Heartbeats.Match(&i.Spec); isHeartbeat {
		return a.heartbeat(ctx, i, expected)
	}
	if err := a.identifySignal(ctx, i); err != nil {
		r, err := a.failed(ctx, i, types.NamespacedName{}, err)
		return r, true, err
	}
	return a.permit(ctx, i)
}

// settle adds an identified signal to the request of its problem.
func (a *api) settle(ctx context.Context, i *item) (result, error) {
	if i.Resolved {
		return a.resolved(ctx, i)
	}
	opened, err := a.Opener.Open(ctx, dedup.Signal{
		Spec: &i.Spec, Foreign: i.foreign, Sender: printable.Storable(auth.CallerFrom(ctx).Name, signal.MaxName),
	}, i.trail)
	if err != nil {
		var key types.NamespacedName
		if failure, ok := errors.AsType[*dedup.Error](err); ok {
			key = failure.Request
		}
		return a.failed(ctx, i, key, err)
	}
	if a.denials.Deliver(i.Spec.SignalFingerprint) {
		a.Log.Info("the problem has a remediation request now", zap.String("signal", i.Spec.SignalName),
			zap.String("fingerprint", i.Spec.SignalFingerprint))
	}
	return a.opened(ctx, i, opened)
}

// invalid rejects an unusable signal. The others of its body are processed all the same.
func (a *api) invalid(ctx context.Context, i *item) (result, error) {
	if err := i.trail.Rejected(ctx, codeInvalid, i.Invalid.Error(), i.Invalid.Fields); err != nil {
		return result{}, fmt.Errorf("reject signal: %w", err)
	}
	r := newResult(statusRejected, "", types.NamespacedName{}, "the signal is invalid; see field_errors")
	r.FieldErrors = i.Invalid.Fields
	return r, nil
}

// identifySignal sets the target and the fingerprint.
func (a *api) identifySignal(ctx context.Context, i *item) error {
	cluster := i.Cluster
	if cluster == "" {
		cluster = a.Cluster
	}
	found, err := a.Targets.Resolve(ctx, target.Signal{
		Name: i.Spec.SignalName, Labels: i.Labels, Given: i.Target, Foreign: i.foreign,
	})
	if err != nil {
		return fmt.Errorf("identify signal %s: %w", i.Spec.SignalName, err)
	}
	i.Spec.TargetResource, i.ownerKnown = found.Target, found.OwnerKnown
	i.Spec.SignalFingerprint = signal.Fingerprint(cluster, found.Owner, i.Spec.SignalName)
	return nil
}

// truncated records, on each request of the body, that the sender left signals out.
func (a *api) truncated(ctx context.Context, d *auditevents.Delivery, n *signal.Notification, results []result) error {
	if n.Truncated == 0 {
		return nil
	}
	var recorded []types.NamespacedName
	for _, r := range results {
		key := r.request()
		if key.Name == "" || slices.Contains(recorded, key) {
			continue
		}
		if err := d.Truncated(ctx, key, n.Truncated, n.Group, n.Receiver); err != nil {
			return fmt.Errorf("truncated notification: %w", err)
		}
		recorded = append(recorded, key)
	}
	return nil
}
