package auditevents_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/auditevents"
)

// recorder remembers valid events.
type recorder []audit.Event

func (r *recorder) Record(_ context.Context, e *audit.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	*r = append(*r, *e)
	return nil
}

func request() *v1alpha1.RemediationRequest {
	at := time.Date(2026, 11, 23, 9, 35, 44, 394_726_000, time.UTC)
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "prod", Name: "rr-1", UID: "5b0c8a8e-6f52-4d3c-9a42-0c6a5f6f0c11", CreationTimestamp: metav1.NewTime(at),
		},
		Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
			SignalFingerprint: strings.Repeat("a", 64), SignalName: "A", SignalType: v1alpha1.SignalTypeAlert, SignalSource: "s",
			Severity: strings.Repeat("x", 63), TargetResource: v1alpha1.TargetResource{Kind: "Pod", Name: "p", Namespace: "prod"},
			FiringTime: metav1.NewMicroTime(at), ReceivedTime: metav1.NewMicroTime(at), Labels: map[string]string{"cluster": "eu"},
		}},
	}
}

func key() types.NamespacedName { return types.NamespacedName{Namespace: "prod", Name: "rr-1"} }

func TestEventsAreValidAndNameTheirSubject(t *testing.T) {
	t.Parallel()
	none := types.NamespacedName{}
	spec := &request().Spec
	tests := map[string]struct {
		record      func(ctx context.Context, t *auditevents.Trail) error
		eventType   string
		correlation string
		outcome     audit.Outcome
	}{
		"received": {
			func(ctx context.Context, t *auditevents.Trail) error { return t.Received(ctx, key(), spec) },
			"gateway.signal.received", "rr-1", audit.OutcomeSuccess,
		},
		"deduplicated": {
			func(ctx context.Context, t *auditevents.Trail) error { return t.Deduplicated(ctx, key(), spec) },
			"gateway.signal.deduplicated", "rr-1", audit.OutcomeSuccess,
		},
		"resolved": {
			func(ctx context.Context, t *auditevents.Trail) error {
				return t.Resolved(ctx, key(), spec, time.Time{})
			},
			"gateway.signal.resolved", "rr-1", audit.OutcomeSuccess,
		},
		"resolved, without a request": {
			func(ctx context.Context, t *auditevents.Trail) error { return t.Resolved(ctx, none, spec, time.Now()) },
			"gateway.signal.resolved", "call-1", audit.OutcomeSuccess,
		},
		"rejected": {
			func(ctx context.Context, t *auditevents.Trail) error {
				return t.Rejected(ctx, "http-400", strings.Repeat("é\x00", 5000), map[string]string{"alerts": "is required"})
			},
			"gateway.signal.rejected", "call-1", audit.OutcomeFailure,
		},
		"truncated": {
			func(ctx context.Context, t *auditevents.Trail) error {
				return t.Truncated(ctx, key(), 3, "group", "receiver")
			},
			"gateway.signal.truncated", "rr-1", audit.OutcomeFailure,
		},
		"created": {
			func(ctx context.Context, t *auditevents.Trail) error { return t.Created(ctx, request()) },
			"gateway.crd.created", "rr-1", audit.OutcomeSuccess,
		},
		"failed": {
			func(ctx context.Context, t *auditevents.Trail) error {
				return t.Failed(ctx, key(), spec, errors.New("unavailable"))
			},
			"gateway.crd.failed", "rr-1", audit.OutcomeFailure,
		},
		"failed, without a name": {
			func(ctx context.Context, t *auditevents.Trail) error {
				return t.Failed(ctx, none, spec, context.DeadlineExceeded)
			},
			"gateway.crd.failed", "call-1", audit.OutcomeFailure,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			tr := auditevents.New(&r, auditevents.Origin{RequestID: "call-1", Address: "192.0.2.7", Source: "alertmanager"})
			if err := test.record(t.Context(), tr); err != nil {
				t.Fatal(err)
			}
			e := r[0]
			if e.Type != test.eventType || e.CorrelationID != test.correlation || e.Outcome != test.outcome || e.Category != "gateway" {
				t.Errorf("%s about %s, %s, category %s", e.Type, e.CorrelationID, e.Outcome, e.Category)
			}
			if !json.Valid(e.Data) {
				t.Errorf("data %s", e.Data)
			}
		})
	}
}

// Replicas that record the creation of one request must record one event:
// DataStorage rejects an id that is sent again with other content.
func TestReplicasRecordTheSameCreation(t *testing.T) {
	t.Parallel()
	var r recorder
	origins := []auditevents.Origin{
		{RequestID: "call-1", Caller: "am-0", Address: "192.0.2.7", Source: "alertmanager"},
		{RequestID: "call-2", Caller: "am-1", Address: "192.0.2.8", Source: "alertmanager"},
	}
	for i, origin := range origins {
		met := request()
		met.Status.Phase = v1alpha1.RemediationProcessing
		met.ResourceVersion = strings.Repeat("1", i+1)
		if err := auditevents.New(&r, origin).Created(t.Context(), met); err != nil {
			t.Fatal(err)
		}
	}
	one, err := json.Marshal(r[0]) //nolint:musttag // both have the same names
	if err != nil {
		t.Fatal(err)
	}
	other, err := json.Marshal(r[1]) //nolint:musttag // both have the same names
	if err != nil {
		t.Fatal(err)
	}
	if string(one) != string(other) {
		t.Errorf("two events:\n%s\n%s", one, other)
	}
	if r[0].ID.Version() != 8 {
		t.Errorf("id %s is not derived", r[0].ID)
	}
	another := request()
	another.UID = "another"
	if err := auditevents.New(&r, origins[0]).Created(t.Context(), another); err != nil {
		t.Fatal(err)
	}
	if r[2].ID == r[0].ID {
		t.Error("another object has the same event id")
	}
}

func TestFailuresAreRecordedAfterTheDeadline(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check := checkContext{}
	if err := auditevents.New(check, auditevents.Origin{RequestID: "call-1"}).Failed(ctx, key(), &request().Spec, errors.New("unavailable")); err != nil {
		t.Error(err)
	}
}

// checkContext records nothing once the context has ended.
type checkContext struct{}

func (checkContext) Record(ctx context.Context, _ *audit.Event) error { return ctx.Err() }

func TestTheCreationDoesNotDependOnTheClusterFlag(t *testing.T) {
	t.Parallel()
	r := request()
	r.Spec.Labels = nil
	var events recorder
	for _, cluster := range []string{"", "eu", "us"} {
		if err := auditevents.New(&events, auditevents.Origin{RequestID: "call-1", Source: "alertmanager", Cluster: cluster}).Created(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range events[1:] {
		if e.ID == events[0].ID && e.ClusterID != events[0].ClusterID {
			t.Errorf("the same event says cluster %q and %q", events[0].ClusterID, e.ClusterID)
		}
	}
}
