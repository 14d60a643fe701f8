package approval

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
)

func TestJudge(t *testing.T) {
	expires := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	decided := func(name, by string, verdict v1alpha1.Verdict, change func(*v1alpha1.RemediationApproval)) v1alpha1.RemediationApproval {
		ra := v1alpha1.RemediationApproval{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(expires.Add(-time.Minute))},
			Spec: v1alpha1.RemediationApprovalSpec{
				ExecutionUID: "u", PlanDigest: "plan", Verdict: verdict, Reason: "because", DecidedBy: v1alpha1.Decider{Name: by},
			},
		}
		if change != nil {
			change(&ra)
		}
		return ra
	}
	approve, reject := v1alpha1.VerdictApprove, v1alpha1.VerdictReject
	for name, tt := range map[string]struct {
		fourEyes bool
		found    []v1alpha1.RemediationApproval
		want     v1alpha1.Verdict
		by       int
	}{
		"nobody has decided":  {},
		"a person approves":   {found: []v1alpha1.RemediationApproval{decided("u", "ada", approve, nil)}, want: approve, by: 1},
		"a person rejects":    {found: []v1alpha1.RemediationApproval{decided("u", "ada", reject, nil)}, want: reject, by: 1},
		"a later rejection":   {found: []v1alpha1.RemediationApproval{decided("u", "ada", approve, nil), decided("u-2", "bob", reject, nil)}, want: reject, by: 1},
		"only a second name":  {found: []v1alpha1.RemediationApproval{decided("u-2", "ada", approve, nil)}},
		"of another plan":     {found: []v1alpha1.RemediationApproval{decided("u", "ada", approve, func(ra *v1alpha1.RemediationApproval) { ra.Spec.PlanDigest = "other" })}},
		"of another proposal": {found: []v1alpha1.RemediationApproval{decided("u", "ada", approve, func(ra *v1alpha1.RemediationApproval) { ra.Spec.ExecutionUID = "v" })}},
		"after the expiry": {found: []v1alpha1.RemediationApproval{decided("u", "ada", approve, func(ra *v1alpha1.RemediationApproval) {
			ra.CreationTimestamp = metav1.NewTime(expires.Add(time.Second))
		})}},
		"one of four eyes' two":    {fourEyes: true, found: []v1alpha1.RemediationApproval{decided("u", "ada", approve, nil)}},
		"four eyes, one person":    {fourEyes: true, found: []v1alpha1.RemediationApproval{decided("u", "ada", approve, nil), decided("u-2", "ada", approve, nil)}},
		"four eyes of two persons": {fourEyes: true, found: []v1alpha1.RemediationApproval{decided("u", "ada", approve, nil), decided("u-2", "bob", approve, nil)}, want: approve, by: 2},
	} {
		t.Run(name, func(t *testing.T) {
			wfe := &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{UID: "u"}}
			wfe.Spec.PlanDigest, wfe.Spec.Workflow.Risk, wfe.Spec.ExpiresAt = "plan", v1alpha1.RiskHigh, metav1.NewMicroTime(expires)
			got := New(Parts{FourEyes: tt.fourEyes}).judge(wfe, tt.found)
			if got.verdict != tt.want || len(got.by) != tt.by {
				t.Errorf("judge: verdict %q by %v, want %q by %d", got.verdict, got.by, tt.want, tt.by)
			}
		})
	}
}
