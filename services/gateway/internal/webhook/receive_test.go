package webhook_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// manyAlerts are firing alerts with names of their own.
func manyAlerts(count int) []string {
	alerts := make([]string, count)
	for i := range alerts {
		alerts[i] = alert("firing", fmt.Sprintf("A%d", i))
	}
	return alerts
}

// keep makes the recorder keep the data of events of a type.
func (b *bundle) keep(eventType string) *[]map[string]any {
	kept := &[]map[string]any{}
	b.record = func(e *audit.Event) error {
		if e.Type == eventType {
			data := map[string]any{}
			if err := json.Unmarshal(e.Data, &data); err != nil {
				return err
			}
			*kept = append(*kept, data)
		}
		return nil
	}
	return kept
}

func TestWhatLiesBeyondTheBoundsIsCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	truncated := b.keep("gateway.signal.truncated")
	response, answer := b.post(t, message(manyAlerts(33)...))
	if response.code != http.StatusMultiStatus {
		t.Fatalf("%d %v", response.code, answer)
	}
	summary, _ := answer["summary"].(map[string]any)
	if summary["created"] != 30.0 || summary["total"] != 30.0 || summary["truncated"] != 3.0 {
		t.Errorf("summary %v", summary)
	}
	b.expectEvents(t, "gateway.signal.truncated gw-")
	if len(*truncated) != 1 || (*truncated)[0]["truncated_alerts"] != 3.0 || (*truncated)[0]["taken"] != 30.0 {
		t.Errorf("event data %v", *truncated)
	}
	b.expectMetrics(t, `
		# HELP gateway_signals_truncated_total Signals that were left out of a notification, by its sender, or by the gateway because they lie beyond the bounds of a body.
		# TYPE gateway_signals_truncated_total counter
		gateway_signals_truncated_total{by="gateway",source="alertmanager"} 3
		gateway_signals_truncated_total{by="gateway",source="kubernetes-event"} 0
		gateway_signals_truncated_total{by="sender",source="alertmanager"} 0
		gateway_signals_truncated_total{by="sender",source="kubernetes-event"} 0
	`, "gateway_signals_truncated_total")
}

func (b *bundle) expectMetrics(t *testing.T, want string, names ...string) {
	t.Helper()
	gatherer, ok := b.options.Registerer.(prometheus.Gatherer)
	if !ok {
		t.Fatalf("%T does not gather", b.options.Registerer)
	}
	if err := testutil.GatherAndCompare(gatherer, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestABodyThatIsTooLargeIsCutAndNotRejected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	big := strings.Replace(alert("firing", "A"), `"A"`, `"A","x":"`+strings.Repeat("x", 40<<10)+`"`, 1)
	response, answer := b.post(t, message(big, big, big))
	if summary, _ := answer["summary"].(map[string]any); response.code != http.StatusMultiStatus || summary["total"] != 1.0 || summary["truncated"] != 2.0 {
		t.Errorf("%d %v", response.code, answer)
	}
	b.expectEvents(t, "gateway.signal.truncated gw-")
}

func TestUnusableAlertsAreListedUpToABound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	response, answer := b.post(t, message(slices.Concat(slices.Repeat([]string{`{}`}, 100), manyAlerts(1))...))
	results, _ := answer["results"].([]any)
	summary, _ := answer["summary"].(map[string]any)
	if response.code != http.StatusMultiStatus || len(results) != 17 || summary["total"] != 101.0 || summary["rejected"] != 100.0 || summary["created"] != 1.0 {
		t.Errorf("%d, %d results, %v", response.code, len(results), summary)
	}
	if last, _ := results[16].(map[string]any); last["index"] != 100.0 || last["status"] != "created" {
		t.Errorf("last result %v", last)
	}
	rejected := 0
	for _, e := range b.events {
		if strings.HasPrefix(e, "gateway.signal.rejected gw-") {
			rejected++
		}
	}
	if rejected != 17 {
		t.Errorf("%d rejections recorded, want one for each listed alert and one for the others", rejected)
	}
}

func TestALargeBodyWithoutAUsableAlertIsTooLarge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.open = nil
	response, answer := b.post(t, message(slices.Repeat([]string{`{}`}, 10_000)...))
	fields, _ := answer["field_errors"].(map[string]any)
	if response.code != http.StatusRequestEntityTooLarge || fields["alerts[0].status"] == nil || len(fields) != 33 {
		t.Errorf("%d %v", response.code, answer)
	}
	b.expectEvents(t, "gateway.signal.rejected gw-made-id")
}

func TestTheResponseNamesTheSenderThatIsMeant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	response, answer := b.post(t, `{"title":"[Alerting] CPU","ruleName":"CPU","evalMatches":[]}`)
	if detail, _ := answer["detail"].(string); response.code != http.StatusBadRequest || !strings.Contains(detail, "Grafana's legacy alerting") {
		t.Errorf("%d %v", response.code, answer)
	}
}

func TestSendersOfAlertmanagersAPIAreAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := `[{"labels":{"alertname":"A"},"startsAt":"2026-11-23T09:00:00Z","endsAt":"2026-11-23T10:04:00Z"}]`
	for _, path := range []string{webhook.PathPrometheus, webhook.PathPrometheus + "/api/v2/alerts"} {
		if response, answer := b.call(t, http.MethodPost, path, "application/json", body); response.code != http.StatusCreated {
			t.Errorf("%s: %d %v", path, response.code, answer)
		}
	}
}

func TestTheEventSaysWhyTheTimeOfReceiptIsUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resolved := b.keep("gateway.signal.resolved")
	b.post(t, strings.Replace(message(alert("resolved", "A")), "2026-11-23T09:35:44Z", "0001-01-01T00:00:00Z", 1))
	if len(*resolved) != 1 || (*resolved)[0]["firing_time"] != nil ||
		(*resolved)[0]["firing_time_note"] != "startsAt is not set: 0001-01-01T00:00:00Z" {
		t.Errorf("event data %v", *resolved)
	}
}

func TestTheCallerCannotChooseTheCorrelationID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rejected := b.keep("gateway.signal.rejected")
	response, _ := b.post(t, "{")
	if response.header.Get("X-Request-ID") != "given-id" || response.header.Get("X-Correlation-ID") != "gw-made-id" {
		t.Errorf("header %v", response.header)
	}
	b.expectEvents(t, "gateway.signal.rejected gw-made-id")
	if len(*rejected) != 1 || (*rejected)[0]["request_id"] != "given-id" {
		t.Errorf("event data %v", *rejected)
	}
}

// serve serves the bundle's handler on a real connection.
func (b *bundle) serve(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(httpserver.Paced(b.handler))
	t.Cleanup(server.Close)
	return server
}

// upload opens a connection and sends the head of a request and a part of its body.
func upload(t *testing.T, server *httptest.Server, length int, part string) net.Conn {
	t.Helper()
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_, err = fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		webhook.PathPrometheus, length, part)
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

// answerOf reads the response's status and its Retry-After.
func answerOf(t *testing.T, connection net.Conn) (code int, retryAfter string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode, response.Header.Get("Retry-After")
}

func TestIdleUploadsHoldNeitherMemoryNorPlaces(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *webhook.Options) { o.BodyMemory = memory.NewBudget(4 << 20) })
	server := b.serve(t)
	idle := make([]net.Conn, 0, 64)
	for range 64 { // MaxConcurrent is 2
		idle = append(idle, upload(t, server, 60<<10, `{"alerts":[`))
	}
	body := message(alert("firing", "A"))
	if code, _ := answerOf(t, upload(t, server, len(body), body)); code != http.StatusCreated {
		t.Errorf("%d, while idle uploads are open", code)
	}
	for _, connection := range idle {
		if code, retryAfter := answerOf(t, connection); code != http.StatusServiceUnavailable || retryAfter == "" {
			t.Errorf("an idle upload got %d", code)
		}
	}
	if used := b.options.BodyMemory.Used(); used != 0 {
		t.Errorf("%d bytes in use at the end", used)
	}
}

func TestWithoutMemoryTheSenderIsAskedToRepeat(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *webhook.Options) { o.BodyMemory = memory.NewBudget(200 << 10) })
	server := b.serve(t)
	text := message(strings.Replace(alert("firing", "A"), `"A"`, `"A","x":"`+strings.Repeat("x", 50<<10)+`"`, 1))
	response, err := http.Post(server.URL+webhook.PathPrometheus, "application/json", strings.NewReader(text)) //nolint:noctx // ends with the server
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1" || !strings.Contains(string(answer), "--max-body-memory") {
		t.Errorf("%d, Retry-After %q: %s", response.StatusCode, response.Header.Get("Retry-After"), answer)
	}
	b.expectEvents(t)
}

func TestALargeNotificationHasMoreTime(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *webhook.Options) {
		o.Limits.Signals, o.Limits.Bytes, o.BodyMemory = 1200, 1<<20, memory.NewBudget(16<<20)
	})
	create := b.open
	var left time.Duration
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		if deadline, ok := ctx.Deadline(); ok && s.Spec.SignalName == "A0" {
			left = time.Until(deadline)
		}
		return create(ctx, s)
	}
	if response, _ := b.post(t, message(manyAlerts(1200)...)); response.code != http.StatusMultiStatus {
		t.Fatalf("%d", response.code)
	}
	if left <= 2*b.options.Timeout || left > 3*b.options.Timeout {
		t.Errorf("%s left, want more than two and at most three times %s", left, b.options.Timeout)
	}
}
