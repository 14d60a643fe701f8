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
	"kubernaut.ai/services/gateway/internal/admission"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/signal"
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

func origin() auditevents.Origin {
	return auditevents.Origin{RequestID: "call-1", CorrelationID: "gw-1", Address: "192.0.2.7", Source: "alertmanager"}
}

// observation is the signal that created the request.
func observation() *signal.Observation { return &signal.Observation{Spec: request().Spec} }

// trailOf returns the trail of a body that arrived with the request's signal.
func trailOf(r auditevents.Recorder, o auditevents.Origin) *auditevents.Delivery {
	return auditevents.New(r, o).Delivery("digest", request().Spec.ReceivedTime.Time)
}

func key() types.NamespacedName { return types.NamespacedName{Namespace: "prod", Name: "rr-1"} }

func TestEventsAreValidAndNameTheirSubject(t *testing.T) {
	t.Parallel()
	none := types.NamespacedName{}
	spec := &request().Spec
	delivery := trailOf(nil, origin()).ID()
	tests := map[string]struct {
		record      func(ctx context.Context, s *auditevents.Signal) error
		eventType   string
		correlation string
		outcome     audit.Outcome
	}{
		"received": {
			func(ctx context.Context, s *auditevents.Signal) error { return s.Received(ctx, key(), spec) },
			"gateway.signal.received", "rr-1", audit.OutcomeSuccess,
		},
		"deduplicated": {
			func(ctx context.Context, s *auditevents.Signal) error {
				return s.Deduplicated(ctx, key(), auditevents.Escalation{Old: "warning", New: "critical"})
			},
			"gateway.signal.deduplicated", "rr-1", audit.OutcomeSuccess,
		},
		"resolved": {
			func(ctx context.Context, s *auditevents.Signal) error {
				return s.Resolved(ctx, key())
			},
			"gateway.signal.resolved", "rr-1", audit.OutcomeSuccess,
		},
		"resolved, without a request": {
			func(ctx context.Context, s *auditevents.Signal) error { return s.Resolved(ctx, none) },
			"gateway.signal.resolved", delivery, audit.OutcomeSuccess,
		},
		"rejected": {
			func(ctx context.Context, s *auditevents.Signal) error {
				return s.Rejected(ctx, "http-400", strings.Repeat("é\x00", 5000), map[string]string{"alerts": "is required"})
			},
			"gateway.signal.rejected", delivery, audit.OutcomeFailure,
		},
		"created": {
			func(ctx context.Context, s *auditevents.Signal) error { return s.Created(ctx, request()) },
			"gateway.crd.created", "rr-1", audit.OutcomeSuccess,
		},
		"failed": {
			func(ctx context.Context, s *auditevents.Signal) error {
				return s.Failed(ctx, key(), errors.New("unavailable"), admission.Denial{})
			},
			"gateway.crd.failed", "rr-1", audit.OutcomeFailure,
		},
		"failed, without a name": {
			func(ctx context.Context, s *auditevents.Signal) error {
				return s.Failed(ctx, none, context.DeadlineExceeded, admission.Denial{Kind: "policy", Name: "p"})
			},
			"gateway.crd.failed", delivery, audit.OutcomeFailure,
		},
		"undeliverable": {
			func(ctx context.Context, s *auditevents.Signal) error {
				return s.Undeliverable(ctx, key(), errors.New("denied"), admission.Denial{Kind: "policy", Name: "p"}, time.Now())
			},
			"gateway.signal.undeliverable", "rr-1", audit.OutcomeFailure,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			s := trailOf(&r, origin()).Signal(observation())
			if err := test.record(t.Context(), s); err != nil {
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
		if err := trailOf(&r, origin).Signal(observation()).Created(t.Context(), met); err != nil {
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
	if err := trailOf(&r, origins[0]).Signal(observation()).Created(t.Context(), another); err != nil {
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
	if err := trailOf(check, origin()).Signal(observation()).Failed(ctx, key(), errors.New("unavailable"), admission.Denial{}); err != nil {
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
		if err := trailOf(&events, auditevents.Origin{RequestID: "call-1", Source: "alertmanager", Cluster: cluster}).Signal(observation()).Created(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range events[1:] {
		if e.ID == events[0].ID && e.ClusterID != events[0].ClusterID {
			t.Errorf("the same event says cluster %q and %q", events[0].ClusterID, e.ClusterID)
		}
	}
}
