package webhook_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/heartbeat"
	"kubernaut.ai/services/gateway/internal/signal"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// named takes signals of one name for heartbeats.
type named string

func (n named) Match(spec *v1alpha1.RemediationRequestSpec) ([]*heartbeat.Beat, bool) {
	return nil, spec.SignalName == string(n)
}

func TestAHeartbeatIsIgnoredAndCounted(t *testing.T) {
	t.Parallel()
	b := confined(t, "shop", func(o *webhook.Options) { o.Heartbeats = named("Watchdog") })
	b.open, b.current = nil, nil
	for _, state := range []string{"firing", "resolved"} {
		response, answer := b.post(t, message(alert(state, "Watchdog")))
		if response.code != http.StatusOK || answer["status"] != "ignored" {
			t.Errorf("%s: %d %v", state, response.code, answer)
		}
	}
	b.expectEvents(t)
	registry, _ := b.options.Registerer.(*prometheus.Registry)
	const want = `
# HELP gateway_signals_total Signals by source and outcome.
# TYPE gateway_signals_total counter
gateway_signals_total{source="alertmanager",status="ignored"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gateway_signals_total"); err != nil {
		t.Error(err)
	}
}

func TestASignalOfTheGatewayItselfTakesTheSamePath(t *testing.T) {
	t.Parallel()
	b := confined(t, "shop")
	at := metav1.NewMicroTime(b.options.Clock.Now())
	lost := &signal.Observation{Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
		SignalName: "HeartbeatLost", SignalType: v1alpha1.SignalTypeAlert, SignalSource: "heartbeat", Severity: "critical",
		TargetResource: v1alpha1.TargetResource{Kind: "Unknown", Name: "Watchdog"}, FiringTime: at, ReceivedTime: at,
	}}}
	request, err := b.api.Report(t.Context(), "heartbeat", "loss-1", lost)
	if err != nil || request.Name == "" || lost.Spec.SignalFingerprint != "" {
		t.Errorf("request %v, error %v", request, err)
	}
	b.current = func() (dedup.Found, error) { return dedup.Found{Key: request}, nil }
	lost.Resolved = true
	if resolved, err := b.api.Report(t.Context(), "heartbeat", "loss-1", lost); err != nil || resolved != request {
		t.Errorf("request %v, error %v", resolved, err)
	}
	b.expectEvents(t, "gateway.signal.resolved "+request.Name)
}
