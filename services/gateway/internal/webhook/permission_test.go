package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// alertIn is a firing alert about a pod in a namespace.
func alertIn(namespace, name string) string {
	return fmt.Sprintf(`{"status":"firing","labels":{"alertname":%q,"namespace":%q,"pod":"p"},"startsAt":"2026-11-23T09:35:44Z"}`, name, namespace)
}

func confined(t *testing.T, namespace string, change ...func(*webhook.Options)) *bundle {
	t.Helper()
	return setup(t, append(change, func(o *webhook.Options) {
		o.Auth = auth.NewGate(&doorkeeper{namespace: namespace}, zap.NewNop())
	})...)
}

func TestASenderReportsOnItsNamespacesOnly(t *testing.T) {
	t.Parallel()
	b := confined(t, "shop")
	response, answer := b.post(t, message(alertIn("shop", "A"), alertIn("bank", "B"), alert("firing", "Nowhere"), alert("resolved", "Ended")))
	if response.code != http.StatusMultiStatus {
		t.Fatalf("%d %v", response.code, answer)
	}
	results, _ := answer["results"].([]any)
	for at, want := range []struct{ status, message string }{
		{"created", ""},
		{"rejected", `"alertmanager" may not create resource signals of API group gateway.kubernaut.ai in namespace bank; ask`},
		{"rejected", "in all namespaces; ask"},
		{"rejected", "in all namespaces; ask"},
	} {
		got, _ := results[at].(map[string]any)
		if text, _ := got["message"].(string); got["status"] != want.status || !strings.Contains(text, want.message) {
			t.Errorf("result %d is %v, want %v", at, got, want)
		}
	}
	const rejected = "gateway.signal.rejected gw-"
	b.expectEvents(t, rejected, rejected, rejected)
	registry, _ := b.options.Registerer.(*prometheus.Registry)
	const want = `
# HELP gateway_signals_forbidden_total Signals that were rejected because their sender may not report on the target's namespace.
# TYPE gateway_signals_forbidden_total counter
gateway_signals_forbidden_total 3
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gateway_signals_forbidden_total"); err != nil {
		t.Error(err)
	}
}

func TestABodyOfWhichNothingIsPermittedIsForbidden(t *testing.T) {
	t.Parallel()
	b := confined(t, "shop", func(o *webhook.Options) { o.Limits.Signals = 40 })
	alerts := make([]string, 0, 40)
	for i := range 40 {
		alerts = append(alerts, alertIn(fmt.Sprintf("n%d", i), "A"))
	}
	response, answer := b.post(t, message(alerts...))
	detail, _ := answer["detail"].(string)
	if response.code != http.StatusForbidden || response.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", response.code, answer)
	}
	if !strings.Contains(detail, "in namespace n4;") || strings.Contains(detail, "in namespace n5;") || !strings.HasSuffix(detail, "; and more") {
		t.Errorf("detail %q, want five namespaces", detail)
	}
	if len(b.events) != 33 {
		t.Errorf("%d events, want one each for 32 signals, and one for the others", len(b.events))
	}
}

func TestASignalFromAnotherClusterNeedsThePermissionEverywhere(t *testing.T) {
	t.Parallel()
	foreign := strings.Replace(alertIn("shop", "A"), `"labels":{`, `"labels":{"cluster":"there",`, 1)
	b := confined(t, "shop", func(o *webhook.Options) { o.Cluster = "here" })
	if response, answer := b.post(t, message(foreign)); response.code != http.StatusForbidden {
		t.Errorf("%d %v", response.code, answer)
	}
	if response, answer := b.post(t, message(strings.Replace(foreign, "there", "here", 1))); response.code != http.StatusCreated {
		t.Errorf("%d %v", response.code, answer)
	}
}

// doorkeeper returns its errors. It forbids everything outside of a namespace, if
// it has one, and remembers the action it was asked for.
type doorkeeper struct {
	unknown, forbidden error
	namespace          string

	mu    sync.Mutex
	asked auth.Action // guarded by mu
}

func (d *doorkeeper) Authenticate(*http.Request) (auth.Caller, error) {
	return auth.Caller{Name: "alertmanager"}, d.unknown
}

func (d *doorkeeper) Authorize(_ context.Context, caller auth.Caller, action auth.Action, where auth.Scope) error {
	if caller.Name != "alertmanager" {
		return errors.New("who is that")
	}
	d.mu.Lock()
	d.asked = action
	d.mu.Unlock()
	if d.namespace != "" && where != auth.InNamespace(d.namespace) {
		return &auth.ForbiddenError{Caller: caller.Name, Action: action, Where: where, Remedy: "ask"}
	}
	return d.forbidden
}

func TestCallersNeedThePermissionToCreateSignals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		doorkeeper *doorkeeper
		status     int
		header     string
		events     []string
	}{
		"unknown":   {&doorkeeper{unknown: &auth.UnauthenticatedError{}}, http.StatusUnauthorized, "WWW-Authenticate", nil},
		"forbidden": {&doorkeeper{forbidden: &auth.ForbiddenError{}}, http.StatusForbidden, "X-Request-ID", []string{"gateway.signal.rejected gw-"}},
		"in doubt":  {&doorkeeper{forbidden: &auth.UnavailableError{Cause: errors.New("away")}}, http.StatusServiceUnavailable, "Retry-After", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *webhook.Options) { o.Auth = auth.NewGate(test.doorkeeper, zap.NewNop()) })
			response, answer := b.post(t, message(alert("firing", "A")))
			if response.code != test.status || response.header.Get(test.header) == "" {
				t.Errorf("%d %v %v", response.code, response.header, answer)
			}
			b.expectEvents(t, test.events...)
		})
	}
	keeper := &doorkeeper{}
	b := setup(t, func(o *webhook.Options) { o.Auth = auth.NewGate(keeper, zap.NewNop()) })
	if response, answer := b.post(t, message(alert("firing", "A"))); response.code != http.StatusCreated {
		t.Errorf("%d %v", response.code, answer)
	}
	want := auth.Action{Group: "gateway.kubernaut.ai", Resource: "signals", Verb: "create", Role: "kubernaut-signal-sender"}
	if keeper.asked != want {
		t.Errorf("asked for %+v, want %+v", keeper.asked, want)
	}
}
