package cleanup

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var limit = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// jobEnded is a Job that ended at a time.
func jobEnded(name string, how batchv1.JobConditionType, at time.Time) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid", ResourceVersion: "7"},
		Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{
			{Type: batchv1.JobSuspended, Status: corev1.ConditionFalse},
			{Type: how, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at)},
		}},
	}
}

func controlledBy(kind string) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: "owner", Controller: new(true)}}
	}
}

func TestOnlyJobsThatNobodyNeedsAreChosen(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*batchv1.Job)
		why    string
	}{
		"completed":            {func(*batchv1.Job) {}, ""},
		"failed":               {func(j *batchv1.Job) { j.Status.Conditions[1].Type = batchv1.JobFailed }, ""},
		"a CronJob's":          {controlledBy("CronJob"), ""},
		"an operator's":        {controlledBy("Workflow"), "controlled by a Workflow"},
		"running":              {func(j *batchv1.Job) { j.Status.Conditions = nil }, "not finished"},
		"about to fail":        {func(j *batchv1.Job) { j.Status.Conditions[1].Type = batchv1.JobFailureTarget }, "not finished"},
		"not complete":         {func(j *batchv1.Job) { j.Status.Conditions[1].Status = corev1.ConditionFalse }, "not finished"},
		"one second too young": {func(j *batchv1.Job) { j.Status.Conditions[1].LastTransitionTime.Time = limit.Add(time.Second) }, "too young"},
		"kept by somebody":     {func(j *batchv1.Job) { j.Annotations = map[string]string{AnnotationKeep: ""} }, "annotated with kubernaut.ai/keep"},
		"on its way":           {func(j *batchv1.Job) { j.DeletionTimestamp = &metav1.Time{Time: limit} }, "already being deleted"},
		"applied by Argo CD":   {func(j *batchv1.Job) { j.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "x"} }, "managed by Argo CD"},
		"applied by Flux":      {func(j *batchv1.Job) { j.Labels = map[string]string{"kustomize.toolkit.fluxcd.io/name": "x"} }, "managed by Flux"},
		"a CronJob's, kept by anyone": {func(j *batchv1.Job) {
			controlledBy("CronJob")(j)
			j.Annotations = map[string]string{AnnotationKeep: "no"}
		}, "annotated with kubernaut.ai/keep"},
	} {
		t.Run(name, func(t *testing.T) {
			job := jobEnded("report", batchv1.JobComplete, limit)
			c.change(job)
			chosen, why := choose(job, limit)
			if why != c.why {
				t.Errorf("kept because %q, want %q", why, c.why)
			}
			if why == "" && (chosen.name != "report" || chosen.uid != "uid" || chosen.version != "7" || !chosen.at.Equal(limit) || chosen.how == "") {
				t.Errorf("chosen %+v", chosen)
			}
		})
	}
}

func TestTheOldestJobsGoFirstUpToTheBound(t *testing.T) {
	jobs := []finished{{name: "young", at: limit}, {name: "b", at: limit.Add(-time.Hour)}, {name: "old", at: limit.Add(-2 * time.Hour)}, {name: "a", at: limit.Add(-time.Hour)}}
	chosen, over := oldest(jobs, 3)
	if over != 1 || len(chosen) != 3 || chosen[0].name != "old" || chosen[1].name != "a" || chosen[2].name != "b" {
		t.Errorf("chosen %+v, over %d", chosen, over)
	}
	if chosen, over := oldest(chosen, 3); over != 0 || len(chosen) != 3 {
		t.Errorf("chosen %+v, over %d", chosen, over)
	}
}

func TestTheSummarySaysWhyJobsAreKept(t *testing.T) {
	if got := (kept{}).String(); got != "kept none" {
		t.Error(got)
	}
	if got := (kept{"too young": 2, "not finished": 1}).String(); got != "kept 3 (1 not finished, 2 too young)" {
		t.Error(got)
	}
}
