package dedup_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/dedup"
)

func now() metav1.Time { return metav1.NewTime(time.Now()) }

func TestRequestsTakeSignalsUntilTheCoolDownEnds(t *testing.T) {
	t.Parallel()
	const coolDown = 5 * time.Minute
	end := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	created := metav1.NewTime(end.Add(-time.Hour))
	completed := metav1.NewMicroTime(end)
	tests := map[string]struct {
		phase     v1alpha1.RemediationPhase
		completed *metav1.MicroTime
		deleted   *metav1.Time
		at        time.Time
		want      bool
	}{
		"no status yet":               {at: end.Add(time.Hour), want: true},
		"awaiting approval":           {phase: v1alpha1.RemediationAwaitingApproval, at: end.Add(time.Hour), want: true},
		"a nanosecond before the end": {phase: v1alpha1.RemediationCompleted, completed: &completed, at: end.Add(coolDown - 1), want: true},
		"cooled down":                 {phase: v1alpha1.RemediationCompleted, completed: &completed, at: end.Add(coolDown), want: false},
		"skipped, in its cool-down":   {phase: v1alpha1.RemediationSkipped, completed: &completed, at: end, want: true},
		"finished at an unknown time": {phase: v1alpha1.RemediationSkipped, at: end, want: false},
		"open but being deleted":      {deleted: &created, at: end, want: false},
		"waits for a person":          {phase: v1alpha1.RemediationManualReview, at: end.Add(time.Hour), want: true},
		"skipped, long ago":           {phase: v1alpha1.RemediationSkipped, completed: &completed, at: end.Add(time.Hour), want: false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opener := dedup.NewOpener(dedup.Options{Clock: clocktesting.NewFakeClock(test.at), CoolDown: coolDown})
			r := &v1alpha1.RemediationRequest{
				ObjectMeta: metav1.ObjectMeta{CreationTimestamp: created, DeletionTimestamp: test.deleted},
				Status:     v1alpha1.RemediationRequestStatus{Phase: test.phase, CompletedAt: test.completed},
			}
			if got := opener.TakesSignals(r, end); got != test.want {
				t.Errorf("takes signals: %v, want %v", got, test.want)
			}
		})
	}
}

// A firing that begins after the remediation shows that it did not last.
func TestAFinishedRequestDoesNotAbsorbWhatBeganAfterItsRemediation(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	remediated, completed := metav1.NewMicroTime(end), metav1.NewMicroTime(end.Add(15*time.Minute))
	opener := dedup.NewOpener(dedup.Options{Clock: clocktesting.NewFakeClock(completed.Time), CoolDown: time.Hour})
	for name, test := range map[string]struct {
		phase  v1alpha1.RemediationPhase
		firing time.Time
		want   bool
	}{
		"began before the remediation was over": {v1alpha1.RemediationCompleted, end.Add(-1), true},
		"began as it was over":                  {v1alpha1.RemediationCompleted, end, true},
		"began a nanosecond later":              {v1alpha1.RemediationCompleted, end.Add(1), false},
		"the request is open":                   {v1alpha1.RemediationVerifying, end.Add(1), true},
	} {
		r := &v1alpha1.RemediationRequest{Status: v1alpha1.RemediationRequestStatus{
			Phase: test.phase, CompletedAt: &completed, RemediatedAt: &remediated,
		}}
		if got := opener.TakesSignals(r, test.firing); got != test.want {
			t.Errorf("%s: takes the signal: %v, want %v", name, got, test.want)
		}
	}
}
