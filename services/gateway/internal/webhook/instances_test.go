package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/occurrence"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// ids collects the ids of recorded events.
func (b *bundle) ids() *[]string {
	var ids []string
	b.record = func(e *audit.Event) error {
		ids = append(ids, e.Type+" "+e.ID.String())
		return nil
	}
	return &ids
}

func TestAChangeOfStateIsRecordedByItselfAndWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.existing()
	b.take = true
	b.change = occurrence.Change{Instance: true, OldSeverity: "warning", NewSeverity: "critical"}
	var data map[string]any
	b.record = func(e *audit.Event) error { return json.Unmarshal(e.Data, &data) }
	if response, answer := b.post(t, message(alert("firing", "A"))); response.code != http.StatusOK {
		t.Errorf("%d %v", response.code, answer)
	}
	if data["old_severity"] != "warning" || data["new_severity"] != "critical" {
		t.Errorf("event %v, want the old and the new severity", data)
	}
	b.current = func() (dedup.Found, error) { return found("rr-1"), nil }
	if response, answer := b.post(t, message(alert("resolved", "A"))); response.code != http.StatusOK {
		t.Errorf("%d %v", response.code, answer)
	}
	if !slices.Equal(b.writes, []string{"apply Unknown/A", "apply Unknown/A"}) {
		t.Errorf("writes %v, want two changes", b.writes)
	}
	if len(b.events) != 2 {
		t.Errorf("events %v, want one of each change", b.events)
	}
}

func TestDuplicatesThatAreTakenAreNotRecordedByThemselves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.existing()
	b.take = true
	if response, answer := b.post(t, message(alert("firing", "A"))); response.code != http.StatusOK {
		t.Errorf("%d %v", response.code, answer)
	}
	b.current = func() (dedup.Found, error) { return found("rr-1"), nil }
	if response, answer := b.post(t, message(alert("resolved", "A"))); response.code != http.StatusOK {
		t.Errorf("%d %v", response.code, answer)
	}
	b.expectEvents(t)
	if !slices.Equal(b.writes, []string{"count Unknown/A"}) {
		t.Errorf("writes %v, want a count of the firing one", b.writes)
	}
}

func TestARetryProcessesWhatFailedOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := b.open
	var mu sync.Mutex
	var opened []string
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		mu.Lock()
		opened = append(opened, s.Spec.SignalName)
		early := len(opened) < 4
		mu.Unlock()
		if s.Spec.SignalName == "B" && early {
			return dedup.Result{}, errors.New("unavailable")
		}
		return create(ctx, s)
	}
	ids := b.ids()
	// The unusable alert's rejection is recorded.
	body := message(alert("firing", "A"), alert("firing", "B"), `{"status":"firing"}`)
	for range 2 {
		if response, answer := b.post(t, body); response.code != http.StatusServiceUnavailable {
			t.Fatalf("%d %v", response.code, answer)
		}
	}
	slices.Sort(*ids)
	if distinct := slices.Compact(slices.Clone(*ids)); len(distinct) != 2 {
		t.Errorf("events %v, want one rejection and one failure", distinct)
	}
	response, answer := b.post(t, body)
	if response.code != http.StatusMultiStatus {
		t.Fatalf("%d %v", response.code, answer)
	}
	results, _ := answer["results"].([]any)
	for i, want := range []string{"created", "created", "rejected"} {
		if entry, _ := results[i].(map[string]any); entry["status"] != want {
			t.Errorf("result %d is %v, want %s", i, entry, want)
		}
	}
	slices.Sort(opened)
	if !slices.Equal(opened, []string{"A", "B", "B", "B"}) {
		t.Errorf("opened %v, want A once", opened)
	}
}

// denial is the answer of an API server with a policy that names no reason.
func denial() error {
	const message = "ValidatingAdmissionPolicy 'require-cost-center' with binding 'b' denied request: every object needs the label cost-center"
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: `remediationrequests.kubernaut.ai "rr-1" is forbidden: ` + message,
		Details: &metav1.StatusDetails{Kind: "remediationrequests", Causes: []metav1.StatusCause{{Message: message}}},
	}}
}

func TestADenialIsTemporaryForAnHour(t *testing.T) {
	t.Parallel()
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	registry := prometheus.NewRegistry()
	b := setup(t, func(o *webhook.Options) { o.Clock, o.Registerer = clock, registry })
	create := b.open
	names := 0
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		if s.Spec.SignalName != "Denied" {
			return create(ctx, s)
		}
		names++
		key := types.NamespacedName{Namespace: "ns", Name: "rr-" + strings.Repeat("1", names)}
		return dedup.Result{}, &dedup.Error{Request: key, Err: denial()}
	}
	ids := b.ids()
	body := message(alert("firing", "Denied"), alert("firing", "Other"))
	for range 3 {
		if response, answer := b.post(t, body); response.code != http.StatusServiceUnavailable || response.header.Get("Retry-After") == "" {
			t.Fatalf("%d %v", response.code, answer)
		}
	}
	if distinct := slices.Compact(*ids); len(distinct) != 1 {
		t.Errorf("events %v, want one failure", distinct)
	}
	clock.SetTime(clock.Now().Add(time.Hour - time.Second))
	if response, answer := b.post(t, body); response.code != http.StatusServiceUnavailable {
		t.Errorf("%d %v after less than an hour", response.code, answer)
	}
	b.events = nil
	clock.SetTime(clock.Now().Add(time.Second))
	response, answer := b.post(t, body)
	if response.code != http.StatusMultiStatus {
		t.Errorf("%d %v after an hour", response.code, answer)
	}
	b.expectEvents(t, "gateway.signal.undeliverable rr-1")
	results, _ := answer["results"].([]any)
	entry, _ := results[0].(map[string]any)
	if text, _ := entry["message"].(string); entry["status"] != "undeliverable" || !strings.Contains(text, "policy require-cost-center") {
		t.Errorf("result %v, want one that names the policy", entry)
	}
	const metrics = `
# HELP gateway_admission_denials_total Requests that the cluster denied, by kind (policy, webhook, quota, apiserver) and name.
# TYPE gateway_admission_denials_total counter
gateway_admission_denials_total{kind="policy",name="require-cost-center"} 5
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(metrics), "gateway_admission_denials_total"); err != nil {
		t.Error(err)
	}
}

func TestAMemberOfAnOverflowRequestIsAnInstanceOfIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := b.open
	b.open = func(ctx context.Context, s dedup.Signal) (dedup.Result, error) {
		result, err := create(ctx, s)
		result.Overflow = true
		return result, err
	}
	b.change = occurrence.Change{Instance: true}
	if response, answer := b.post(t, message(alert("firing", "A"))); response.code != http.StatusOK || answer["status"] != "overflow" {
		t.Errorf("%d %v", response.code, answer)
	}
	b.overflow = found("rr-overflow").Request
	response, answer := b.post(t, message(alert("resolved", "A")))
	if response.code != http.StatusOK || answer["status"] != "resolved" || answer["remediationRequestName"] != "rr-overflow" {
		t.Errorf("%d %v", response.code, answer)
	}
	b.open = create
	if response, answer := b.post(t, message(alert("firing", "A"))); response.code != http.StatusCreated {
		t.Errorf("%d %v", response.code, answer)
	}
	const member = "apply A Unknown/A"
	if !slices.Equal(b.writes, []string{member, member, member}) {
		t.Errorf("writes %v, want that it fires, that it ends, and that it has its own request", b.writes)
	}
}
