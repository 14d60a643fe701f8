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

// workers is how many signals of one body are worked on at a time.
const workers = 8

// codeInvalid is the error code of a signal that cannot be understood.
const codeInvalid = "invalid"

// take works on every signal of a notification. The error means that some
// could not be taken now. Signals that were not begun when the first one
// failed are left to the sender's retry.
func (i *intake) take(ctx context.Context, t *auditevents.Trail, n *signal.Notification) ([]result, error) {
	results := make([]result, len(n.Observations))
	errs := make([]error, len(n.Observations))
	jobs := make(chan int)
	failed := make(chan struct{})
	var once sync.Once
	var group sync.WaitGroup
	for range min(workers, len(n.Observations)) {
		group.Go(func() {
			for at := range jobs {
				if results[at], errs[at] = i.guarded(ctx, t, &n.Observations[at]); errs[at] != nil {
					once.Do(func() { close(failed) })
				}
			}
		})
	}
	i.hand(jobs, failed, len(n.Observations))
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return results, i.truncated(ctx, t, n, results)
}

// hand gives out the signals until there are no more or one has failed.
func (i *intake) hand(jobs chan<- int, failed <-chan struct{}, count int) {
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

// guarded turns a panic into an error: one signal must not end the process.
func (i *intake) guarded(ctx context.Context, t *auditevents.Trail, o *signal.Observation) (r result, err error) {
	defer func() {
		if p := recover(); p != nil {
			i.Log.Error("panic in a signal", zap.String("signal", o.Spec.SignalName), zap.Any("panic", p), zap.Stack("stack"))
			err = fmt.Errorf("panic in signal %s: %v", o.Spec.SignalName, p)
		}
	}()
	return i.one(ctx, t, o)
}

// one works on one signal.
func (i *intake) one(ctx context.Context, t *auditevents.Trail, o *signal.Observation) (result, error) {
	if o.Invalid != nil {
		return i.invalid(ctx, t, o.Invalid)
	}
	foreign := o.Cluster != "" && i.Cluster != "" && o.Cluster != i.Cluster
	err := i.identifySignal(ctx, o, foreign)
	if err == nil {
		if o.Resolved {
			return i.resolved(ctx, t, o)
		}
		var opened dedup.Result
		if opened, err = i.Opener.Open(ctx, dedup.Signal{Spec: &o.Spec, Foreign: foreign}, t); err == nil {
			return i.opened(ctx, t, o, opened)
		}
	}
	return i.failed(ctx, t, o, err)
}

// invalid refuses a signal that cannot be understood; the others of its body
// are taken all the same.
func (i *intake) invalid(ctx context.Context, t *auditevents.Trail, why *signal.InvalidError) (result, error) {
	if err := t.Rejected(ctx, codeInvalid, why.Error(), why.Fields); err != nil {
		return result{}, fmt.Errorf("refuse signal: %w", err)
	}
	r := newResult(statusRejected, "", types.NamespacedName{}, "the signal is not usable; field_errors names what is wrong")
	r.FieldErrors = why.Fields
	return r, nil
}

// identifySignal sets the fingerprint.
func (i *intake) identifySignal(ctx context.Context, o *signal.Observation, foreign bool) error {
	cluster := o.Cluster
	if cluster == "" {
		cluster = i.Cluster
	}
	owner := o.Spec.TargetResource
	if !foreign {
		var err error
		if owner, err = i.Owners.Top(ctx, o.Spec.TargetResource); err != nil {
			return fmt.Errorf("identify signal %s: %w", o.Spec.SignalName, err)
		}
	}
	o.Spec.SignalFingerprint = signal.Fingerprint(cluster, owner, o.Spec.SignalName)
	return nil
}

func (i *intake) opened(ctx context.Context, t *auditevents.Trail, o *signal.Observation, opened dedup.Result) (result, error) {
	key := client.ObjectKeyFromObject(opened.Request)
	counted := occurrence.Request{NamespacedName: key, UID: opened.Request.UID}
	if opened.Created {
		if err := i.Counter.Add(ctx, counted, 0, o.Spec.ReceivedTime.Time); err != nil {
			// The request's first signal is in its spec: the count begins with it anyway.
			i.Log.Debug("first count not written", zap.String("request", key.Name), zap.Error(err))
		}
		return newResult(statusCreated, o.Spec.SignalFingerprint, key, "a remediation request was created"), nil
	}
	if err := t.Deduplicated(ctx, key, &o.Spec); err != nil {
		return result{}, fmt.Errorf("duplicate of %s: %w", key.Name, err)
	}
	if err := i.Counter.Add(ctx, counted, 1, o.Spec.ReceivedTime.Time); err != nil {
		return result{}, fmt.Errorf("duplicate of %s: %w", key.Name, err)
	}
	return newResult(statusDuplicate, o.Spec.SignalFingerprint, key, "the signal was added to an existing remediation request"), nil
}

// resolved records the end of a problem. It never creates a request.
func (i *intake) resolved(ctx context.Context, t *auditevents.Trail, o *signal.Observation) (result, error) {
	key, err := i.Opener.Current(ctx, &o.Spec)
	if err != nil {
		return result{}, fmt.Errorf("find request of resolved %s: %w", o.Spec.SignalName, err)
	}
	if err := t.Resolved(ctx, key, &o.Spec, o.ResolvedAt); err != nil {
		return result{}, fmt.Errorf("resolved %s: %w", o.Spec.SignalName, err)
	}
	if key.Name == "" {
		return newResult(statusIgnored, o.Spec.SignalFingerprint, key, "the problem is over; it never had a remediation request"), nil
	}
	return newResult(statusResolved, o.Spec.SignalFingerprint, key, "the end of the problem was recorded"), nil
}

// failed records a signal that got no request, and tells what passes from
// what never will.
func (i *intake) failed(ctx context.Context, t *auditevents.Trail, o *signal.Observation, cause error) (result, error) {
	var key types.NamespacedName
	if opening, ok := errors.AsType[*dedup.Error](cause); ok {
		key = opening.Request
	}
	if err := t.Failed(ctx, key, &o.Spec, cause); err != nil {
		return result{}, errors.Join(cause, err)
	}
	if !final(cause) {
		return result{}, cause
	}
	const reason = "the API server refused the remediation request for good"
	if err := t.Rejected(ctx, "refused", cause.Error(), nil); err != nil {
		return result{}, errors.Join(cause, err)
	}
	i.Log.Warn(reason, zap.String("signal", o.Spec.SignalName), zap.Error(cause))
	return newResult(statusRejected, o.Spec.SignalFingerprint, types.NamespacedName{}, reason), nil
}

// final reports whether the API server will refuse the object however often
// it is sent. Missing permissions, quotas and policies are not final: people
// mend them. A 400 without a reason is the denial of an admission webhook.
func final(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.ReasonForError(err) == metav1.StatusReasonBadRequest || apierrors.IsRequestEntityTooLargeError(err)
}

// truncated records on each request of the body that the sender left signals out.
func (i *intake) truncated(ctx context.Context, t *auditevents.Trail, n *signal.Notification, results []result) error {
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
