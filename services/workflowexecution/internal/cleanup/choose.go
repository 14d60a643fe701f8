package cleanup

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/services/workflowexecution/internal/gitops"
)

// AnnotationKeep on a Job keeps it, whatever its value is.
const AnnotationKeep = "kubernaut.ai/keep"

// finished is a Job that may be deleted, as it was when it was listed.
type finished struct {
	name    string
	uid     types.UID
	version string
	// at is when it finished; how is Complete or Failed.
	at  time.Time
	how batchv1.JobConditionType
}

// kept counts the Jobs that are not deleted, by reason.
type kept map[string]int

// String lists the reasons in a stable order.
func (k kept) String() string {
	total := 0
	reasons := make([]string, 0, len(k))
	for _, reason := range slices.Sorted(maps.Keys(k)) {
		total += k[reason]
		reasons = append(reasons, fmt.Sprintf("%d %s", k[reason], reason))
	}
	if total == 0 {
		return "kept none"
	}
	return fmt.Sprintf("kept %d (%s)", total, strings.Join(reasons, ", "))
}

// choose returns the Job if it may be deleted, and otherwise why it is kept. Jobs that
// finished after the limit are too young.
func choose(job *batchv1.Job, limit time.Time) (finished, string) {
	how, at := end(job)
	owner := metav1.GetControllerOf(job)
	_, keep := job.Annotations[AnnotationKeep]
	switch {
	case job.DeletionTimestamp != nil:
		return finished{}, "already being deleted"
	case how == "":
		return finished{}, "not finished"
	case at.After(limit):
		return finished{}, "too young"
	case keep:
		return finished{}, "annotated with " + AnnotationKeep
	case owner != nil && owner.Kind != "CronJob":
		return finished{}, "controlled by a " + owner.Kind
	}
	if tool := gitops.Tool(job); tool != "" {
		return finished{}, "managed by " + tool
	}
	return finished{name: job.Name, uid: job.UID, version: job.ResourceVersion, at: at, how: how}, ""
}

// end says how and when a Job finished; how is empty while it has not.
func end(job *batchv1.Job) (how batchv1.JobConditionType, at time.Time) {
	for i := range job.Status.Conditions {
		c := &job.Status.Conditions[i]
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c.Type, c.LastTransitionTime.Time
		}
	}
	return "", time.Time{}
}

// oldest sorts Jobs by the time at which they finished, and returns at most n of them and
// how many are left out.
func oldest(jobs []finished, n int) ([]finished, int) {
	slices.SortFunc(jobs, func(a, b finished) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	if len(jobs) <= n {
		return jobs, 0
	}
	return jobs[:n], len(jobs) - n
}
