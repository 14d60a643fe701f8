package demo

import (
	"strings"
	"testing"

	"kubernaut.ai/api/v1alpha1"
)

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
	d := demo{Options: Options{Out: &out}}
	d.sayf("%s", "e\x1b]0;x\x07.b.c\r")
	if got := out.String(); strings.ContainsAny(got, "\x1b\x07\r\t\u202e") || !strings.Contains(got, "signal  ab on  /c\\td\\u202e") {
		t.Errorf("%q", got)
	}
}
