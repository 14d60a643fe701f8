package remediationrequest

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
)

func TestMirroredPhases(t *testing.T) {
	t.Parallel()
	ended := metav1.NewMicroTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	for phase, want := range map[v1alpha1.ProcessingPhase]struct {
		phase     v1alpha1.RemediationPhase
		condition metav1.ConditionStatus
		reason    string
		ended     bool
	}{
		"":                              {v1alpha1.RemediationPending, metav1.ConditionUnknown, "InProgress", false},
		v1alpha1.ProcessingPending:      {v1alpha1.RemediationPending, metav1.ConditionUnknown, "InProgress", false},
		v1alpha1.ProcessingEnriching:    {v1alpha1.RemediationProcessing, metav1.ConditionUnknown, "InProgress", false},
		v1alpha1.ProcessingClassifying:  {v1alpha1.RemediationProcessing, metav1.ConditionUnknown, "InProgress", false},
		v1alpha1.ProcessingCategorizing: {v1alpha1.RemediationProcessing, metav1.ConditionUnknown, "InProgress", false},
		v1alpha1.ProcessingCompleted:    {v1alpha1.RemediationClassified, metav1.ConditionTrue, "Classified", false},
		v1alpha1.ProcessingFailed:       {v1alpha1.RemediationManualReview, metav1.ConditionFalse, "ProcessingFailed", false},
	} {
		sp := &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Name: "rr-1"}, Status: v1alpha1.SignalProcessingStatus{
			Phase: phase, Message: "m", CompletedAt: &ended,
			Severity:    &v1alpha1.SeverityDecision{Value: v1alpha1.SeverityHigh},
			Environment: &v1alpha1.EnvironmentDecision{Value: v1alpha1.EnvironmentTest},
			Priority:    &v1alpha1.PriorityDecision{Value: v1alpha1.PriorityP3},
		}}
		rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Name: "rr-1", Generation: 1}}
		got := mirrored(rr, sp, metav1.Now())
		condition := meta.FindStatusCondition(got.Conditions, ConditionProcessed)
		if got.Phase != want.phase || condition.Status != want.condition || condition.Reason != want.reason || (got.CompletedAt != nil) != want.ended {
			t.Errorf("%q is mirrored as %+v", phase, got)
		}
		if got.Severity != v1alpha1.SeverityHigh || got.Environment != v1alpha1.EnvironmentTest || got.Priority != v1alpha1.PriorityP3 || got.SignalProcessingRef != "rr-1" || got.ObservedGeneration != 1 {
			t.Errorf("%q is mirrored as %+v", phase, got)
		}
		if got.Deduplication != nil {
			t.Error("the Gateway's part of the status was changed")
		}
		if shows(&rr.Status, got) {
			t.Errorf("%q: an empty status shows everything", phase)
		}
		rr.Status = *got.DeepCopy()
		if again := mirrored(rr, sp, metav1.NewTime(time.Now().Add(time.Hour))); !shows(&rr.Status, again) {
			t.Errorf("%q: mirrored again it differs: %+v, %+v", phase, rr.Status, again)
		}
	}
}

func TestPhasesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	for phase, want := range map[v1alpha1.RemediationPhase]bool{
		"": true, v1alpha1.RemediationPending: true, v1alpha1.RemediationProcessing: true, v1alpha1.RemediationClassified: true,
		v1alpha1.RemediationAwaitingApproval: false, v1alpha1.RemediationApproved: false, v1alpha1.RemediationExecuting: false,
		v1alpha1.RemediationVerifying: false, v1alpha1.RemediationManualReview: false,
		v1alpha1.RemediationCompleted: false, v1alpha1.RemediationSkipped: false,
	} {
		if owned(phase) != want {
			t.Errorf("owned(%q) = %t", phase, !want)
		}
	}
}

func TestLongMessageIsCut(t *testing.T) {
	t.Parallel()
	sp := &v1alpha1.SignalProcessing{Status: v1alpha1.SignalProcessingStatus{Phase: v1alpha1.ProcessingFailed, Message: strings.Repeat("ä", maxMessage)}}
	if got := mirrored(&v1alpha1.RemediationRequest{}, sp, metav1.Now()); len([]rune(got.Message)) != maxMessage {
		t.Errorf("message of %d characters", len([]rune(got.Message)))
	}
}
