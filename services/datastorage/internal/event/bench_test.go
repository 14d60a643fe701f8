package event_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/services/datastorage/internal/event"
)

// signalData is what the Gateway writes about a signal, 1 KiB.
const signalData = `{"request_id":"0190163d-8694-739b-aea5-966c26f8ad91","source":"alertmanager","fingerprint":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",` +
	`"signal_name":"KubePodCrashLooping","signal_type":"alert","signal_source":"prometheus","severity":"critical",` +
	`"target_resource":{"kind":"Pod","name":"checkout-7f9c6d5b8-x2lqz","namespace":"shop-checkout"},` +
	`"firing_time":"2026-01-02T03:04:05Z","received_time":"2026-01-02T03:04:05.123456Z","labels":{"alertname":"KubePodCrashLooping","namespace":"shop-checkout",` +
	`"pod":"checkout-7f9c6d5b8-x2lqz","container":"checkout","severity":"critical","cluster":"eu-west-1-prod",` +
	`"job":"kube-state-metrics","prometheus":"monitoring/k8s","team":"payments"},"annotations":{"summary":"Pod is crash looping.",` +
	`"description":"Pod shop-checkout/checkout-7f9c6d5b8-x2lqz (checkout) is in waiting state (reason: \"CrashLoopBackOff\").",` +
	`"runbook_url":"https://runbooks.example.com/alerts/kubepodcrashlooping"}}`

func BenchmarkDecode(b *testing.B) {
	const events = 100
	lines := make([][]byte, 0, events)
	for i := range events {
		lines = append(lines, fmt.Appendf(nil, `{"actor_id":"system:serviceaccount:monitoring:alertmanager","actor_ip":"10.42.7.19","actor_type":"source",`+
			`"cluster_id":"eu-west-1-prod","correlation_id":"rr-9f86d081884c-0123456789","event_action":"received","event_category":"gateway",`+
			`"event_data":%s,"event_id":"0190163d-8694-739b-aea5-966c26f8ad%02x","event_outcome":"success","event_timestamp":"2026-01-02T03:04:05.678901Z",`+
			`"event_type":"gateway.signal.received","namespace":"kubernaut-system","producer_epoch":1767323045000,"producer_id":"gateway-0","producer_seq":4711,`+
			`"resource_id":"rr-9f86d081884c-0123456789","resource_type":"RemediationRequest","severity":"critical","version":"1.0"}`, signalData, i))
	}
	now := time.Date(2026, time.January, 2, 3, 4, 6, 0, time.UTC)
	decoder := event.NewDecoder(event.DefaultLimits(), clocktesting.NewFakePassiveClock(now), zeros{})
	for name, c := range map[string]struct {
		body   []byte
		decode func(body []byte, caller string) (event.Batch, error)
	}{
		"lines": {append(bytes.Join(lines, []byte{'\n'}), '\n'), decoder.Lines},
		"array": {fmt.Appendf(nil, "[%s]", bytes.Join(lines, []byte{','})), decoder.Array},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				if batch, err := c.decode(c.body, "bench"); err != nil || len(batch.Refusals) > 0 {
					b.Fatal(err, batch.Refusals)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
		})
	}
}
