package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/signal"
)

const (
	// codeForbidden is the error code of a signal that its sender may not report.
	codeForbidden = "forbidden"
	// maxForbiddenEvents bounds the forbidden signals of a body that have an event
	// each. One more event counts the others.
	maxForbiddenEvents = 32
	// maxForbiddenNamed bounds the namespaces that a 403 names.
	maxForbiddenNamed = 5
)

// createSignals is the permission that senders need where they report.
var createSignals = auth.Action{Group: "gateway.kubernaut.ai", Resource: "signals", Verb: "create", Role: "kubernaut-signal-sender"}

// scope is where the sender of a signal needs its permission: in the target's
// namespace; in all if it has none, or is in another cluster, whose namespaces
// have nothing but their names in common with ours.
func (i *item) scope() auth.Scope { return i.scopeOf(signal.Namespace(i.Spec.TargetResource)) }

func (i *item) scopeOf(namespace string) auth.Scope {
	if i.foreign {
		return auth.Everywhere()
	}
	return auth.InNamespace(namespace)
}

// permit is done with a signal that its sender may not report. An error means
// that nobody can tell whether it may.
func (a *api) permit(ctx context.Context, i *item) (result, bool, error) {
	return a.permitIn(ctx, i, i.scope())
}

// permitIn is permit for a signal that concerns a scope.
func (a *api) permitIn(ctx context.Context, i *item, where auth.Scope) (r result, forbidden bool, err error) {
	err = a.Auth.Authorize(ctx, createSignals, where)
	if why, ok := errors.AsType[*auth.ForbiddenError](err); ok {
		r = newResult(statusRejected, "", types.NamespacedName{}, why.Detail())
		target := i.Spec.TargetResource
		r.forbidden = fmt.Sprintf("signal %s about %s %s: %s", i.Spec.SignalName, target.Kind, target.Name, r.Message)
		return r, true, nil
	}
	if err != nil {
		return result{}, true, fmt.Errorf("authorize the sender of signal %s: %w", i.Spec.SignalName, err)
	}
	return result{}, false, nil
}

// recordForbidden records and counts the forbidden signals of a body.
func (a *api) recordForbidden(ctx context.Context, d *auditevents.Delivery, b batch) error {
	count := 0
	for _, i := range b {
		if i.result.forbidden == "" {
			continue
		}
		if count++; count > maxForbiddenEvents {
			continue
		}
		if err := i.trail.Rejected(ctx, codeForbidden, i.result.forbidden, nil); err != nil {
			return fmt.Errorf("record forbidden signal: %w", err)
		}
	}
	if more := count - maxForbiddenEvents; more > 0 {
		if err := d.Rejected(ctx, codeForbidden, fmt.Sprintf("%d more signals of the body that the sender may not report", more), nil); err != nil {
			return fmt.Errorf("record forbidden signals: %w", err)
		}
	}
	a.metrics.forbidden.Add(float64(count))
	return nil
}

// allForbidden returns the response to a body whose sender may report none of its
// signals, and nil if there is any other result.
func allForbidden(results []result) error {
	var details []string
	for _, r := range results {
		if r.forbidden == "" {
			return nil
		}
		if len(details) <= maxForbiddenNamed && !slices.Contains(details, r.Message) {
			details = append(details, r.Message)
		}
	}
	if len(details) > maxForbiddenNamed {
		details[maxForbiddenNamed] = "and more"
	}
	return problem.New(http.StatusForbidden, "%s", strings.Join(details, "; "))
}
