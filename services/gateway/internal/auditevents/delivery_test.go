package auditevents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/gateway/internal/admission"
	"kubernaut.ai/services/gateway/internal/auditevents"
	"kubernaut.ai/services/gateway/internal/signal"
)

// recordAll records every event of a signal whose body arrived at a time.
func recordAll(t *testing.T, o auditevents.Origin, digest string, at time.Time, s *signal.Observation, cause error) []audit.Event {
	t.Helper()
	var r recorder
	d := auditevents.New(&r, o).Delivery(digest, at)
	trail := d.Signal(s)
	ctx := t.Context()
	for _, err := range []error{
		trail.Received(ctx, key(), &s.Spec),
		trail.Deduplicated(ctx, key(), auditevents.Escalation{}),
		trail.Resolved(ctx, key()),
		trail.Rejected(ctx, "invalid", "missing name", map[string]string{"alerts[0]": "is required"}),
		trail.Failed(ctx, key(), cause, admission.Denial{}),
		trail.Undeliverable(ctx, key(), cause, admission.Denial{}, request().CreationTimestamp.Time),
		d.Truncated(ctx, key(), 3, "group", "receiver"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// A retry has another request id and another time of receipt, and reaches
// another replica, whose connections have other ports.
func TestARetryRecordsTheSameEvents(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 23, 9, 35, 0, 0, time.UTC)
	first := recordAll(t, origin(), "digest", begin, observation(),
		&url.Error{Op: "Post", URL: "https://10.0.0.1", Err: errors.New("read tcp 10.0.0.7:50312->10.0.0.1:443: reset")})
	again := observation()
	again.Spec.ReceivedTime = metav1.NewMicroTime(begin.Add(5*time.Minute - time.Microsecond))
	retry := origin()
	retry.RequestID, retry.CorrelationID = "call-2", "gw-2"
	second := recordAll(t, retry, "digest", again.Spec.ReceivedTime.Time, again,
		&url.Error{Op: "Post", URL: "https://10.0.0.1", Err: errors.New("read tcp 10.0.0.8:41234->10.0.0.1:443: reset")})
	for i := range first {
		one, err := json.Marshal(first[i]) //nolint:musttag // both have the same names
		if err != nil {
			t.Fatal(err)
		}
		other, err := json.Marshal(second[i]) //nolint:musttag // both have the same names
		if err != nil {
			t.Fatal(err)
		}
		if string(one) != string(other) {
			t.Errorf("two events:\n%s\n%s", one, other)
		}
	}
}

func TestOtherDeliveriesRecordOtherEvents(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 23, 9, 35, 0, 0, time.UTC)
	cause := errors.New("unavailable")
	first := recordAll(t, origin(), "digest", begin, observation(), cause)
	sibling := observation()
	sibling.Spec.Labels = map[string]string{"pod": "another"}
	refired := observation()
	refired.Spec.FiringTime = metav1.NewMicroTime(begin.Add(time.Second))
	stranger := origin()
	stranger.Caller = "another"
	for name, other := range map[string][]audit.Event{
		"after five minutes": recordAll(t, origin(), "digest", begin.Add(5*time.Minute), observation(), cause),
		"another body":       recordAll(t, origin(), "other", begin, observation(), cause),
		"another caller":     recordAll(t, stranger, "digest", begin, observation(), cause),
		"another instance":   recordAll(t, origin(), "digest", begin, sibling, cause)[:3],
		"fired again":        recordAll(t, origin(), "digest", begin, refired, cause)[:3],
	} {
		for i := range other {
			if other[i].ID == first[i].ID {
				t.Errorf("%s: the same id of %s", name, other[i].Type)
			}
		}
	}
}

// Should a retry meet another state of the cluster, its event has another id:
// DataStorage rejects other content under the same one.
func TestAnotherContentHasAnotherID(t *testing.T) {
	t.Parallel()
	var r recorder
	trail := trailOf(&r, origin()).Signal(observation())
	for _, escalation := range []auditevents.Escalation{{}, {Old: "warning", New: "critical"}} {
		if err := trail.Deduplicated(t.Context(), key(), escalation); err != nil {
			t.Fatal(err)
		}
	}
	for _, by := range []admission.Denial{{}, {Kind: "policy", Name: "p"}} {
		if err := trail.Failed(t.Context(), key(), errors.New("denied"), by); err != nil {
			t.Fatal(err)
		}
	}
	if r[0].ID == r[1].ID || r[2].ID == r[3].ID {
		t.Error("two contents have one id")
	}
}

func TestAFailureIsExplainedTheSameWayEachTime(t *testing.T) {
	t.Parallel()
	status := func(message string, fields ...string) error {
		causes := make([]metav1.StatusCause, 0, len(fields))
		for _, field := range fields {
			causes = append(causes, metav1.StatusCause{Field: field, Message: message})
		}
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Code: 422, Reason: metav1.StatusReasonInvalid, Message: message, Details: &metav1.StatusDetails{Causes: causes},
		}}
	}
	webhook, none := admission.Denial{Kind: "webhook", Name: "w.example.com"}, admission.Denial{}
	for name, test := range map[string]struct {
		causes        []error // of repetitions
		by            admission.Denial
		code, message string
	}{
		"denied": {
			[]error{status(`"rr-1" is forbidden: rules a, b`), status(`"rr-2" is forbidden: rules b, a`)},
			webhook, "Invalid", "denied by webhook w.example.com",
		},
		"quota": {
			[]error{status("exceeded quota: few, used: 1"), status("exceeded quota: few, used: 2")},
			admission.Denial{Kind: "quota", Name: "few"},
			"Invalid", "denied by quota few",
		},
		"schema": {
			[]error{status("x", "spec.b", "spec.a"), status("y", "spec.a", "spec.b", "spec.a")},
			none, "Invalid", "the API server rejected these fields: spec.a, spec.b",
		},
		"no reason": {
			[]error{&apierrors.StatusError{ErrStatus: metav1.Status{Code: 400, Message: "no"}}, &apierrors.StatusError{ErrStatus: metav1.Status{Code: 400}}},
			none, "Denied", "the API server rejected the request",
		},
		"slow":        {[]error{&url.Error{Err: context.DeadlineExceeded}, context.DeadlineExceeded}, none, "Timeout", "the API server did not answer in time"},
		"unreachable": {[]error{&url.Error{Err: errors.New("port 4711")}, &url.Error{Err: errors.New("port 4712")}}, none, "Unreachable", "the API server cannot be reached"},
		"hung up":     {[]error{context.Canceled, fmt.Errorf("post: %w", context.Canceled)}, none, "Canceled", "the sender did not wait for the answer"},
		"other":       {[]error{errors.New("at 0xc000"), errors.New("at 0xc001")}, none, "Failed", "the request could not be created"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			for _, cause := range test.causes {
				if err := trailOf(&r, origin()).Signal(observation()).Failed(t.Context(), key(), cause, test.by); err != nil {
					t.Fatal(err)
				}
			}
			if r[0].ErrorCode != test.code || r[0].ErrorMessage != test.message {
				t.Errorf("%s: %s, want %s: %s", r[0].ErrorCode, r[0].ErrorMessage, test.code, test.message)
			}
			if r[0].ID != r[1].ID || !bytes.Equal(r[0].Data, r[1].Data) {
				t.Error("the repetition is another event")
			}
		})
	}
}

func TestABodyIsRejectedUnderAnIDThatTheGatewayMade(t *testing.T) {
	t.Parallel()
	var r recorder
	if err := auditevents.New(&r, origin()).Rejected(t.Context(), "http-400", "no JSON", nil); err != nil {
		t.Fatal(err)
	}
	var data map[string]any
	if err := json.Unmarshal(r[0].Data, &data); err != nil {
		t.Fatal(err)
	}
	if r[0].CorrelationID != "gw-1" || data["request_id"] != "call-1" {
		t.Errorf("correlation id %s, data %v", r[0].CorrelationID, data)
	}
}
