package webhook

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/admission"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/duplicates"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/signal"
)

const (
	messageCreated   = "a remediation request was created"
	messageDuplicate = "the signal was added to an existing remediation request"
	messageOverflow  = "as many remediation requests are open as may be; the signal was added to the overflow request of its namespace"
	messageResolved  = "the end of the signal was recorded"
	messageIgnored   = "the problem ended; it has no remediation request"
)

// opened answers a firing signal that has a request.
func (a *api) opened(ctx context.Context, i *item, opened dedup.Result) (result, error) {
	key := client.ObjectKeyFromObject(opened.Request)
	if opened.Overflow {
		if err := a.fires(ctx, i, opened.Request, member(i.Observation)); err != nil {
			return a.unwritten(ctx, i, key, err)
		}
		return newResult(statusOverflow, i.Spec.SignalFingerprint, key, messageOverflow), nil
	}
	if err := a.leaveOverflow(ctx, i); err != nil {
		return a.unwritten(ctx, i, key, err)
	}
	// A request that was found by its target or instance has the fingerprint of then.
	i.Spec.SignalFingerprint = opened.Request.Spec.SignalFingerprint
	if opened.Created {
		// The request's spec is its first instance: there is nothing to write.
		return newResult(statusCreated, i.Spec.SignalFingerprint, key, messageCreated), nil
	}
	if err := a.fires(ctx, i, opened.Request, report(i.Observation)); err != nil {
		return a.unwritten(ctx, i, key, err)
	}
	return newResult(statusDuplicate, i.Spec.SignalFingerprint, key, messageDuplicate), nil
}

// leaveOverflow removes a problem that has its own request from the overflow
// request that lists it.
func (a *api) leaveOverflow(ctx context.Context, i *item) error {
	overflow, err := a.Opener.Membership(ctx, i.Spec.SignalFingerprint)
	if err != nil || overflow == nil {
		return err //nolint:wrapcheck // says what was read
	}
	r := member(i.Observation)
	r.Resolved, r.EndedAt = true, time.Time{}
	counted := occurrence.Request{NamespacedName: client.ObjectKeyFromObject(overflow), UID: overflow.UID}
	if err := a.Counter.Apply(ctx, counted, r); err != nil {
		return fmt.Errorf("leave overflow request %s: %w", overflow.Name, err)
	}
	return nil
}

// fires adds a firing signal to an existing request. A change of state is
// recorded by itself and written before the sender gets its answer.
func (a *api) fires(ctx context.Context, i *item, request *v1alpha1.RemediationRequest, r occurrence.Report) error {
	key := client.ObjectKeyFromObject(request)
	counted := occurrence.Request{NamespacedName: key, UID: request.UID}
	change := a.Counter.Change(request, r)
	r.Beyond = change.Beyond
	if change.Any() || !a.Duplicates.Take(duplicate(i.Observation, &counted, r)) {
		err := i.trail.Deduplicated(ctx, key, auditevents.Escalation{Old: change.OldSeverity, New: change.NewSeverity})
		if err != nil {
			return fmt.Errorf("duplicate of %s: %w", key.Name, err)
		}
	}
	write := a.Counter.Count
	if change.Any() {
		write = a.Counter.Apply
	}
	if err := write(ctx, counted, r); err != nil {
		return fmt.Errorf("duplicate of %s: %w", key.Name, err)
	}
	return nil
}

// resolved records that an instance of a problem does not fire any more. It
// never creates a request.
func (a *api) resolved(ctx context.Context, i *item) (result, error) {
	a.denials.Resolve(i.Spec.SignalFingerprint)
	found, err := a.Opener.Current(ctx, &i.Spec)
	if err != nil {
		return result{}, fmt.Errorf("find request of resolved %s: %w", i.Spec.SignalName, err)
	}
	r := report(i.Observation)
	if found.Key.Name == "" {
		overflow, err := a.Opener.OverflowOf(ctx, &i.Spec)
		if err != nil {
			return result{}, fmt.Errorf("find request of resolved %s: %w", i.Spec.SignalName, err)
		}
		if overflow != nil {
			found = dedup.Found{Key: client.ObjectKeyFromObject(overflow), Request: overflow}
			r = member(i.Observation)
		}
	}
	if err := a.ends(ctx, i, found, r); err != nil {
		return a.unwritten(ctx, i, found.Key, err)
	}
	if found.Key.Name == "" {
		return newResult(statusIgnored, i.Spec.SignalFingerprint, found.Key, messageIgnored), nil
	}
	return newResult(statusResolved, i.Spec.SignalFingerprint, found.Key, messageResolved), nil
}

// ends records the end of an instance. If the instance fires according to the
// request, its status changes before the sender gets its answer.
func (a *api) ends(ctx context.Context, i *item, found dedup.Found, r occurrence.Report) error {
	var change occurrence.Change
	var counted occurrence.Request
	if found.Request != nil {
		counted = occurrence.Request{NamespacedName: found.Key, UID: found.Request.UID}
		change = a.Counter.Change(found.Request, r)
	}
	repeats := found.Request != nil && !change.Any()
	if !repeats || !a.Duplicates.Take(duplicate(i.Observation, &counted, r)) {
		if err := i.trail.Resolved(ctx, found.Key); err != nil {
			return fmt.Errorf("resolved %s: %w", i.Spec.SignalName, err)
		}
	}
	write := a.Counter.Apply
	switch {
	case change.Beyond:
		r.Beyond, write = true, a.Counter.Count
	case !change.Any():
		return nil
	}
	if err := write(ctx, counted, r); err != nil {
		return fmt.Errorf("resolved %s: %w", i.Spec.SignalName, err)
	}
	return nil
}

// unwritten returns the error of a signal that was not added to its request. If
// the cluster denied the write, that is tracked like a denied request.
func (a *api) unwritten(ctx context.Context, i *item, request types.NamespacedName, cause error) (result, error) {
	if _, denied := admission.Of(cause); denied {
		return a.failed(ctx, i, request, cause)
	}
	return result{}, cause
}

// report is what a signal says about its instance.
func report(o *signal.Observation) occurrence.Report {
	return occurrence.Report{
		ID:       signal.InstanceID(o.Spec.Labels),
		Name:     occurrence.InstanceName(o.Spec.TargetResource),
		Severity: o.Spec.Severity,
		StartsAt: o.Spec.FiringTime.Time,
		Seen:     o.Spec.ReceivedTime.Time,
		Resolved: o.Resolved,
		EndedAt:  o.ResolvedAt,

		StartAssumed: o.StartsAt.IsZero(),
	}
}

// member is what a signal says about its problem as a member of an overflow request.
func member(o *signal.Observation) occurrence.Report {
	r := report(o)
	r.ID = dedup.MemberID(o.Spec.SignalFingerprint)
	r.Name = printable.Storable(o.Spec.SignalName+" "+r.Name, signal.MaxName)
	return r
}

func duplicate(o *signal.Observation, request *occurrence.Request, r occurrence.Report) duplicates.Duplicate {
	return duplicates.Duplicate{
		Request: request.NamespacedName, UID: request.UID,
		Fingerprint: o.Spec.SignalFingerprint, SignalName: o.Spec.SignalName,
		Instance: r.ID, Resolved: r.Resolved, Seen: r.Seen,
	}
}
