package wire_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
)

// signalData is what the Gateway writes about a signal, 1 KiB; six arguments differ from one to the next.
const signalData = `{"request_id":"%[1]s","source":"alertmanager","fingerprint":"%016[2]x%016[3]x%016[4]x%016[5]x",` +
	`"signal_name":"KubePodCrashLooping","signal_type":"alert","signal_source":"prometheus","severity":"critical",` +
	`"target_resource":{"kind":"Pod","name":"checkout-%010[2]x-%05[6]x","namespace":"shop-checkout"},` +
	`"firing_time":"%[7]s","received_time":"%[7]s","labels":{"alertname":"KubePodCrashLooping","namespace":"shop-checkout",` +
	`"pod":"checkout-%010[2]x-%05[6]x","container":"checkout","severity":"critical","cluster":"eu-west-1-prod",` +
	`"job":"kube-state-metrics","prometheus":"monitoring/k8s","team":"payments"},"annotations":{"summary":"Pod is crash looping.",` +
	`"description":"Pod shop-checkout/checkout-%010[2]x-%05[6]x (checkout) is in waiting state (reason: \"CrashLoopBackOff\").",` +
	`"runbook_url":"https://runbooks.example.com/alerts/kubepodcrashlooping"}}`

// batchOf makes events as the Gateway records them. Series tells the ids of one batch from another's.
func batchOf(n int, series string) []audit.Event {
	start := time.Now().Add(-time.Minute)
	batch := make([]audit.Event, n)
	for i := range batch {
		at := start.Add(time.Duration(i) * 137 * time.Microsecond)
		id := audit.DerivedID(start, series, fmt.Sprint(i))
		mixed := uint64(i+1) * 0x9e3779b97f4a7c15
		name := fmt.Sprintf("rr-%012x-%010x", mixed>>16, mixed&0xffffffffff)
		batch[i] = audit.Event{
			ID: id, Version: audit.SchemaVersion, Type: "gateway.signal.received", Timestamp: at,
			Category: "gateway", Action: "received", Outcome: audit.OutcomeSuccess, CorrelationID: name,
			Data:      fmt.Appendf(nil, signalData, id, mixed, mixed*3, mixed*5, mixed*7, mixed&0xfffff, at.UTC().Format(time.RFC3339Nano)),
			ActorType: "source", ActorID: "system:serviceaccount:monitoring:alertmanager", ActorIP: "10.42.7.19",
			ResourceType: "RemediationRequest", ResourceID: name, Namespace: "kubernaut-system", ClusterID: "eu-west-1-prod",
			Severity: "critical", Producer: audit.Producer{ID: "gateway-0", Epoch: start.UnixMilli(), Sequence: uint64(i + 1)},
		}
	}
	return batch
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// linesOf is the body that the sink sends for a batch, plain.
func linesOf(tb testing.TB, batch []audit.Event) []byte {
	tb.Helper()
	var body []byte
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			tb.Error(err)
		}
		_ = r.Body.Close()
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody, Request: r}, nil
	})}
	sink, err := httpsink.New("http://captured.invalid", httpsink.WithHTTPClient(client), httpsink.WithCompression(httpsink.CompressionNone))
	if err != nil {
		tb.Fatal(err)
	}
	_, _ = sink.Write(context.Background(), batch)
	if bytes.Count(body, []byte{'\n'}) != len(batch) {
		tb.Fatalf("captured %.100s", body)
	}
	return body
}

// arrayOf is the same batch as a JSON array.
func arrayOf(lines []byte) []byte {
	return slices.Concat([]byte{'['}, bytes.ReplaceAll(bytes.TrimSpace(lines), []byte{'\n'}, []byte{','}), []byte{']'})
}

// refused makes a body that DataStorage decodes whole and then refuses for its last event: nothing is stored.
func refused(body []byte, lines bool) []byte {
	const wrong = `{"event_outcome":"odd"}`
	body = bytes.TrimSpace(body)
	if lines {
		return append(append(bytes.Clone(body), '\n'), wrong+"\n"...)
	}
	return append(append(bytes.Clone(body[:len(body)-1]), ','), wrong+"]"...)
}
