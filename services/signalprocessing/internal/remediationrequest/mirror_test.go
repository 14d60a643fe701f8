package remediationrequest

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
)

func request(phase v1alpha1.RemediationPhase) *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "rr-1", Generation: 1},
		Status:     v1alpha1.RemediationRequestStatus{Phase: phase},
	}
}

func found(phase v1alpha1.ProcessingPhase) *v1alpha1.SignalProcessing {
	return &v1alpha1.SignalProcessing{ObjectMeta: metav1.ObjectMeta{Name: "rr-1"}, Status: v1alpha1.SignalProcessingStatus{
		Phase: phase, Message: "m",
		Severity:    &v1alpha1.SeverityDecision{Value: v1alpha1.SeverityHigh},
		Environment: &v1alpha1.EnvironmentDecision{Value: v1alpha1.EnvironmentTest},
		Priority:    &v1alpha1.PriorityDecision{Value: v1alpha1.PriorityP3},
	}}
}

// reason is the reason of a condition with its status, empty without the condition.
func reason(rr *v1alpha1.RemediationRequest, name string) string {
	if c := meta.FindStatusCondition(rr.Status.Conditions, name); c != nil {
		return string(c.Status) + " " + c.Reason
	}
	return ""
}

func TestWhatARequestShows(t *testing.T) {
	t.Parallel()
	attempted := found(v1alpha1.ProcessingEnriching)
	attempted.Status.Attempt = 1
	review := request(v1alpha1.RemediationPending)
	mirror(review, found(v1alpha1.ProcessingFailed), metav1.Now())
	overflow := request(v1alpha1.RemediationPending)
	overflow.Spec.SignalType = v1alpha1.SignalTypeOverflow
	overflowed := overflow.DeepCopy()
	mirror(overflowed, found(v1alpha1.ProcessingCompleted), metav1.Now())
	for name, test := range map[string]struct {
		before *v1alpha1.RemediationRequest
		sp     *v1alpha1.SignalProcessing

		phase             v1alpha1.RemediationPhase
		processed, review string
		severity          v1alpha1.Severity
	}{
		"new":                         {request(""), found(""), "", "", "", ""},
		"in progress":                 {request(v1alpha1.RemediationPending), found(v1alpha1.ProcessingClassifying), v1alpha1.RemediationPending, "", "", ""},
		"failed once":                 {request(""), attempted, v1alpha1.RemediationProcessing, "Unknown InProgress", "", ""},
		"completed":                   {request(v1alpha1.RemediationProcessing), found(v1alpha1.ProcessingCompleted), v1alpha1.RemediationClassified, "True Classified", "", v1alpha1.SeverityHigh},
		"failed":                      {request(v1alpha1.RemediationProcessing), found(v1alpha1.ProcessingFailed), v1alpha1.RemediationManualReview, "False ProcessingFailed", "True ProcessingFailed", ""},
		"failed, again in progress":   {review, attempted, v1alpha1.RemediationManualReview, "False ProcessingFailed", "True ProcessingFailed", ""},
		"failed, then completed":      {review, found(v1alpha1.ProcessingCompleted), v1alpha1.RemediationClassified, "True Classified", "False Classified", v1alpha1.SeverityHigh},
		"overflow":                    {overflow, found(v1alpha1.ProcessingCompleted), v1alpha1.RemediationManualReview, "True Classified", "True Overflow", v1alpha1.SeverityHigh},
		"overflow, escalated":         {overflowed, found(v1alpha1.ProcessingCompleted), v1alpha1.RemediationManualReview, "True Classified", "True Overflow", v1alpha1.SeverityHigh},
		"reviewed for another reason": {request(v1alpha1.RemediationManualReview), found(v1alpha1.ProcessingCompleted), v1alpha1.RemediationManualReview, "True Classified", "", v1alpha1.SeverityHigh},
		"approved":                    {request(v1alpha1.RemediationApproved), found(v1alpha1.ProcessingCompleted), v1alpha1.RemediationApproved, "True Classified", "", v1alpha1.SeverityHigh},
		"approved, failed":            {request(v1alpha1.RemediationApproved), found(v1alpha1.ProcessingFailed), v1alpha1.RemediationApproved, "False ProcessingFailed", "", ""},
		"approved, again in progress": {request(v1alpha1.RemediationApproved), attempted, v1alpha1.RemediationApproved, "", "", ""},
		"finished":                    {request(v1alpha1.RemediationSkipped), found(v1alpha1.ProcessingCompleted), v1alpha1.RemediationSkipped, "", "", ""},
	} {
		rr := test.before.DeepCopy()
		mirror(rr, test.sp, metav1.Now())
		if rr.Status.Phase != test.phase || rr.Status.Severity != test.severity ||
			reason(rr, v1alpha1.ConditionSignalProcessed) != test.processed || reason(rr, v1alpha1.ConditionManualReview) != test.review {
			t.Errorf("%s: %+v", name, rr.Status)
		}
		if rr.Status.CompletedAt != nil {
			t.Errorf("%s: completed", name)
		}
		if !shows(rr, test.sp) {
			t.Errorf("%s: mirrored again, it differs", name)
		}
	}
}

func TestTheFirstSignalIsCountedOnce(t *testing.T) {
	t.Parallel()
	received := metav1.NewMicroTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	rr := request("")
	rr.Spec.ReceivedTime = received
	mirror(rr, found(v1alpha1.ProcessingCompleted), metav1.Now())
	want := v1alpha1.Deduplication{FirstSeenAt: received, LastSeenAt: received, OccurrenceCount: 1}
	if d := rr.Status.Deduplication; d == nil || *d != want {
		t.Errorf("counted %+v", d)
	}
	rr = request("")
	counted := v1alpha1.Deduplication{FirstSeenAt: received, LastSeenAt: metav1.NowMicro(), OccurrenceCount: 3}
	rr.Status.Deduplication = counted.DeepCopy()
	mirror(rr, found(v1alpha1.ProcessingCompleted), metav1.Now())
	if *rr.Status.Deduplication != counted {
		t.Errorf("the Gateway's count became %+v", rr.Status.Deduplication)
	}
}

func TestLongMessageIsCut(t *testing.T) {
	t.Parallel()
	rr, sp := request(""), found(v1alpha1.ProcessingFailed)
	sp.Status.Message = strings.Repeat("ä", maxMessage)
	if mirror(rr, sp, metav1.Now()); len([]rune(rr.Status.Message)) != maxMessage {
		t.Errorf("message of %d characters", len([]rune(rr.Status.Message)))
	}
}
