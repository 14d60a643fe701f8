package webhook_test

import (
	"fmt"
	"net/http"
	"strings"
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
