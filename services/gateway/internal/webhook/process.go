package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

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

// workers is how many signals of one body are processed concurrently.
const workers = 8

// codeInvalid is the error code of an unusable signal.
const codeInvalid = "invalid"

// process processes every signal of a notification. An error means that some
// signals failed and may succeed later. After the first failure no more signals
// are started: they are left to the sender's retry.
func (a *api) process(ctx context.Context, t *auditevents.Trail, n *signal.Notification) ([]result, error) {
	results := make([]result, len(n.Observations))
	errs := make([]error, len(n.Observations))
	jobs := make(chan int)
	failed := make(chan struct{})
	var once sync.Once
	var group sync.WaitGroup
	for range min(workers, len(n.Observations)) {
		group.Go(func() {
			for at := range jobs {
				if results[at], errs[at] = a.processSafely(ctx, t, &n.Observations[at]); errs[at] != nil {
					once.Do(func() { close(failed) })
				}
			}
		})
	}
	a.dispatch(jobs, failed, len(n.Observations))
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return results, a.truncated(ctx, t, n, results)
}

// dispatch sends the indexes of the signals to the workers until there are no more or one has failed.
func (a *api) dispatch(jobs chan<- int, failed <-chan struct{}, count int) {
	defer close(jobs)
	for at := range count {
		select {
		case <-failed:
			return
		default:
		}
		select {
		case jobs <- at:
		case <-failed:
			return
		}
	}
}

// processSafely turns a panic into an error, so that one signal cannot crash the Gateway.
func (a *api) processSafely(ctx context.Context, t *auditevents.Trail, o *signal.Observation) (r result, err error) {
	defer func() {
		if p := recover(); p != nil {
			a.Log.Error("panic while processing a signal", zap.String("signal", o.Spec.SignalName), zap.Any("panic", p), zap.Stack("stack"))
			err = fmt.Errorf("panic while processing signal %s: %v", o.Spec.SignalName, p)
		}
	}()
	return a.processOne(ctx, t, o)
}

// processOne processes one signal.
func (a *api) processOne(ctx context.Context, t *auditevents.Trail, o *signal.Observation) (result, error) {
	if o.Invalid != nil {
		return a.invalid(ctx, t, o.Invalid)
	}
	foreign := o.Cluster != "" && a.Cluster != "" && o.Cluster != a.Cluster
	err := a.identifySignal(ctx, o, foreign)
	if err == nil {
		if o.Resolved {
			return a.resolved(ctx, t, o)
		}
		var opened dedup.Result
		if opened, err = a.Opener.Open(ctx, dedup.Signal{Spec: &o.Spec, Foreign: foreign}, t); err == nil {
			return a.opened(ctx, t, o, opened)
		}
	}
	return a.failed(ctx, t, o, err)
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
