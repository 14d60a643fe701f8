package demo

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
)

func TestPrintTrail(t *testing.T) {
	var out strings.Builder
	printTrail(&out, "rr-1", []datastorage.StoredEvent{{
		EventTimestamp: time.Date(2026, 11, 23, 15, 5, 17, 266101000, time.UTC),
		EventType:      "signalprocessing.phase.transition",
		EventOutcome:   datastorage.Success,
		EventData:      json.RawMessage(`{"from": "Pending", "to": "Enriching"}`),
	}})
	want := `
Audit trail of rr-1, 1 events, oldest first (UTC)
  TIME             EVENT                              OUTCOME  WHAT
  15:05:17.266101  signalprocessing.phase.transition  success  Pending → Enriching
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestForeignEventsArePrintedApart(t *testing.T) {
	at := time.Date(2026, 11, 23, 15, 5, 17, 0, time.UTC)
	intruder := "system:serviceaccount:shop:intruder"
	event := func(eventType string) datastorage.StoredEvent {
		return datastorage.StoredEvent{EventTimestamp: at, EventType: eventType, EventOutcome: datastorage.Success, EventData: json.RawMessage(`{}`)}
	}
	foreign, unchecked := event("gateway.signal.resolved"), event("shop.order.placed")
	foreign.Foreign, foreign.RecordedBy = true, &intruder
	unchecked.RecorderUnchecked = true
	var out strings.Builder
	printTrail(&out, "rr-1", []datastorage.StoredEvent{foreign, event("gateway.signal.received"), unchecked})
	want := `
Audit trail of rr-1, 1 events, oldest first (UTC)
  TIME             EVENT                    OUTCOME  WHAT
  15:05:17.000000  gateway.signal.received  success  ` + summary(new(event("gateway.signal.received"))) + `

Not a part of it: 2 events of recorders without the permission for their type
  TIME             EVENT                    RECORDED BY                          PERMISSION
  15:05:17.000000  gateway.signal.resolved  system:serviceaccount:shop:intruder  missing
  15:05:17.000000  shop.order.placed        none                                 could not be checked
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestPrintRequest(t *testing.T) {
	rr := &v1alpha1.RemediationRequest{}
	rr.Namespace, rr.Name = "shop", "rr-1"
	rr.Spec.SignalName = "KubePodCrashLooping"
	rr.Spec.Severity = "Sev1"
	rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Pod", Namespace: "shop", Name: "checkout-1"}
	rr.Status.Phase = v1alpha1.RemediationClassified
	sp := &v1alpha1.SignalProcessing{}
	sp.Status = v1alpha1.SignalProcessingStatus{
		Context:  &v1alpha1.EnrichedContext{OwnerChain: []v1alpha1.OwnerReference{{Kind: "ReplicaSet", Name: "checkout"}}},
		Severity: &v1alpha1.SeverityDecision{Value: v1alpha1.SeverityCritical, Decision: v1alpha1.Decision{Source: "signal-severity", ConfidencePercent: 90}},
		Business: &v1alpha1.Business{Criticality: "high"},
	}
	var out strings.Builder
	printRequest(&out, rr, sp)
	want := `
Remediation request shop/rr-1
  phase     Classified
  signal    KubePodCrashLooping on Pod shop/checkout-1
  owners    ReplicaSet checkout
  severity  critical  (signal-severity, 90% sure; the alert said "Sev1")
  business  unit none, owner none, criticality high, SLA none
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestTextsOfSendersControlNoTerminal(t *testing.T) {
	rr := &v1alpha1.RemediationRequest{}
	rr.Namespace, rr.Name = "shop", "rr-1"
	rr.Spec.SignalName, rr.Spec.TargetResource.Name = "a\x1b[2Jb", "c\td\u202e"
	var out strings.Builder
	printRequest(&out, rr, &v1alpha1.SignalProcessing{})
	printTrail(&out, "rr-1\r", []datastorage.StoredEvent{{EventType: "a\x1b]0;x\x07.b.c", EventAction: "act\x1b[1m"}})
	if got := out.String(); strings.ContainsAny(got, "\x1b\x07\r\t\u202e") || !strings.Contains(got, "signal  ab on  /c\\td\\u202e") {
		t.Errorf("%q", got)
	}
}
