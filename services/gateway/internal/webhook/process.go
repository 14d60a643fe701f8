package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/signal"
)

// codeInvalid is the error code of an unusable signal.
const codeInvalid = "invalid"

// process processes every signal of a notification, also after one failed. An
// error means that some signals failed and may succeed later.
//
// Signals about one problem are processed one after the other, the firing ones
// first, so that a body gets the same answer whatever the scheduling.
func (a *api) process(ctx context.Context, t *auditevents.Trail, n *signal.Notification) ([]result, error) {
	batch := newBatch(n.Observations)
	concurrently(len(batch), func(at int) {
		batch[at].do(a, func() (result, bool, error) { return a.identify(ctx, t, batch[at]) })
	})
	problems := batch.problems()
	concurrently(len(problems), func(at int) {
		for _, i := range problems[at] {
			i.do(a, func() (result, bool, error) {
				r, err := a.settle(ctx, t, i)
				return r, true, err
			})
		}
	})
	results, err := batch.results()
	if err != nil {
		return nil, err
	}
	return results, a.truncated(ctx, t, n, results)
}

// identify finds out which problem a signal is about, and who may report it. It
// is done with signals that never belong to a request.
func (a *api) identify(ctx context.Context, t *auditevents.Trail, i *item) (result, bool, error) {
	if i.Invalid != nil {
		r, err := a.invalid(ctx, t, i.Invalid)
		return r, true, err
	}
	i.foreign = i.Cluster != "" && a.Cluster != "" && i.Cluster != a.Cluster
	if err := a.identifySignal(ctx, i.Observation, i.foreign); err != nil {
		r, err := a.failed(ctx, t, i.Observation, err)
		return r, true, err
	}
	return result{}, false, nil
}

// settle adds an identified signal to the request of its problem.
func (a *api) settle(ctx context.Context, t *auditevents.Trail, i *item) (result, error) {
	if i.Resolved {
		return a.resolved(ctx, t, i.Observation)
	}
	opened, err := a.Opener.Open(ctx, dedup.Signal{Spec: &i.Spec, Foreign: i.foreign}, t)
	if err != nil {
		return a.failed(ctx, t, i.Observation, err)
	}
	return a.opened(ctx, t, i.Observation, opened)
}

// invalid rejects an unusable signal. The others of its body are processed all the same.
func (a *api) invalid(ctx context.Context, t *auditevents.Trail, why *signal.InvalidError) (result, error) {
	if err := t.Rejected(ctx, codeInvalid, why.Error(), why.Fields); err != nil {
		return result{}, fmt.Errorf("reject signal: %w", err)
	}
	r := newResult(statusRejected, "", types.NamespacedName{}, "the signal is invalid; see field_errors")
	r.FieldErrors = why.Fields
	return r, nil
}

// identifySignal sets the fingerprint.
func (a *api) identifySignal(ctx context.Context, o *signal.Observation, foreign bool) error {
	cluster := o.Cluster
	if cluster == "" {
		cluster = a.Cluster
	}
	owner := o.Spec.TargetResource
	if !foreign {
		var err error
		if owner, err = a.Owners.Top(ctx, o.Spec.TargetResource); err != nil {
			return fmt.Errorf("identify signal %s: %w", o.Spec.SignalName, err)
		}
	}
	o.Spec.SignalFingerprint = signal.Fingerprint(cluster, owner, o.Spec.SignalName)
	return nil
}

func (a *api) opened(ctx context.Context, t *auditevents.Trail, o *signal.Observation, opened dedup.Result) (result, error) {
	key := client.ObjectKeyFromObject(opened.Request)
	counted := occurrence.Request{NamespacedName: key, UID: opened.Request.UID}
	if opened.Created {
		if err := a.Counter.Add(ctx, counted, 0, o.Spec.ReceivedTime.Time); err != nil {
			// The first signal is in the request's spec, so the count starts with it anyway.
			a.Log.Debug("could not write the first count", zap.String("request", key.Name), zap.Error(err))
		}
		return newResult(statusCreated, o.Spec.SignalFingerprint, key, "a remediation request was created"), nil
	}
	if err := t.Deduplicated(ctx, key, &o.Spec); err != nil {
		return result{}, fmt.Errorf("duplicate of %s: %w", key.Name, err)
	}
	if err := a.Counter.Add(ctx, counted, 1, o.Spec.ReceivedTime.Time); err != nil {
		return result{}, fmt.Errorf("duplicate of %s: %w", key.Name, err)
	}
	return newResult(statusDuplicate, o.Spec.SignalFingerprint, key, "the signal was added to an existing remediation request"), nil
}

// resolved records that a problem ended. It never creates a request.
func (a *api) resolved(ctx context.Context, t *auditevents.Trail, o *signal.Observation) (result, error) {
	key, err := a.Opener.Current(ctx, &o.Spec)
	if err != nil {
		return result{}, fmt.Errorf("find request of resolved %s: %w", o.Spec.SignalName, err)
	}
	if err := t.Resolved(ctx, key, &o.Spec, o.ResolvedAt); err != nil {
		return result{}, fmt.Errorf("resolved %s: %w", o.Spec.SignalName, err)
	}
	if key.Name == "" {
		return newResult(statusIgnored, o.Spec.SignalFingerprint, key, "the problem ended; it has no remediation request"), nil
	}
	return newResult(statusResolved, o.Spec.SignalFingerprint, key, "the end of the problem was recorded"), nil
}

// failed records that a signal got no request. It returns an error if trying
// again may help, and a rejected result if it never will.
func (a *api) failed(ctx context.Context, t *auditevents.Trail, o *signal.Observation, cause error) (result, error) {
	var key types.NamespacedName
	if failure, ok := errors.AsType[*dedup.Error](cause); ok {
		key = failure.Request
	}
	if err := t.Failed(ctx, key, &o.Spec, cause); err != nil {
		return result{}, errors.Join(cause, err)
	}
	if !permanent(cause) {
		return result{}, cause
	}
	const reason = "the API server rejected the remediation request permanently"
	if err := t.Rejected(ctx, "refused", cause.Error(), nil); err != nil {
		return result{}, errors.Join(cause, err)
	}
	a.Log.Warn(reason, zap.String("signal", o.Spec.SignalName), zap.Error(cause))
	return newResult(statusRejected, o.Spec.SignalFingerprint, types.NamespacedName{}, reason), nil
}

// permanent reports whether the API server will reject the object every time.
// Missing permissions, quotas and policies are not permanent, because people fix
// them. A 400 without a reason is a denial by an admission webhook.
func permanent(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.ReasonForError(err) == metav1.StatusReasonBadRequest || apierrors.IsRequestEntityTooLargeError(err)
}

// truncated records, on each request of the body, that the sender left signals out.
func (a *api) truncated(ctx context.Context, t *auditevents.Trail, n *signal.Notification, results []result) error {
	if n.Truncated == 0 {
		return nil
	}
	var recorded []types.NamespacedName
	for _, r := range results {
		key := r.request()
		if key.Name == "" || slices.Contains(recorded, key) {
			continue
		}
		if err := t.Truncated(ctx, key, n.Truncated, n.Group, n.Receiver); err != nil {
			return fmt.Errorf("truncated notification: %w", err)
		}
		recorded = append(recorded, key)
	}
	return nil
}
