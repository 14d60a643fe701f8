package execute

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/plan"
)

// jobGrace is how long after its deadline a Job may take until it shows its end.
const jobGrace = time.Minute

// jobStops are what keeps a Job from being created. They do not touch one that exists.
type jobStops struct {
	// gated is a pause, or a decision that does not count any more.
	gated *stop
	// gone is set if the target is gone.
	gone *stop
}

// runJob creates the Job, once, and waits for its end.
func (s *Stage) runJob(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, stops jobStops, timeout time.Duration) (time.Duration, error) {
	job := &batchv1.Job{}
	key := client.ObjectKey{Namespace: s.Namespace, Name: plan.JobName(wfe.UID)}
	err := s.Live.Get(ctx, key, job)
	switch {
	case apierrors.IsNotFound(err):
		return s.createJob(ctx, wfe, w, stops, timeout)
	case err != nil:
		return 0, fmt.Errorf("read Job %s: %w", key, err)
	case job.Annotations[v1alpha1.AnnotationExecution] != string(wfe.UID):
		return s.inconclusive(ctx, wfe, w, &stop{reason: reasonJobForeign, message: fmt.Sprintf("Job %s is not of this execution", key)})
	}
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			return s.jobEnded(ctx, wfe, w, job, "")
		case batchv1.JobFailed:
			return s.jobEnded(ctx, wfe, w, job, fmt.Sprintf("Job %s failed: %s: %s", key, c.Reason, c.Message))
		case batchv1.JobSuspended, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet:
		}
	}
	if s.late(wfe, timeout+jobGrace) {
		return s.jobEnded(ctx, wfe, w, job, fmt.Sprintf("Job %s has not ended within %s", key, timeout))
	}
	return wait(wfe, stop{reasonJobCreated, fmt.Sprintf("Job %s runs", key), jobInterval}), nil
}

func (s *Stage) createJob(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, stops jobStops, timeout time.Duration) (time.Duration, error) {
	switch {
	case wfe.Status.Reason == reasonJobCreated:
		return s.inconclusive(ctx, wfe, w, &stop{reason: reasonJobDeleted, message: "somebody deleted the Job before it had ended"})
	case stops.gone != nil:
		return s.inconclusive(ctx, wfe, w, stops.gone)
	case stops.gated != nil:
		return s.hold(ctx, wfe, w, stops.gated, timeout)
	case s.late(wfe, timeout):
		return s.timedOut(ctx, wfe, w, timeout)
	}
	if why, err := s.prepare(ctx, wfe, w, wfe.Status.StartedAt.Time); why != nil || err != nil {
		if err != nil {
			return 0, err
		}
		return s.inconclusive(ctx, wfe, w, why)
	}
	writing, cancel := context.WithTimeout(ctx, wfe.Status.StartedAt.Add(timeout).Sub(s.Clock.Now()))
	defer cancel()
	job := plan.RenderJob(w.workflow, w.target, wfe.Spec.Parameters, wfe.UID, s.Namespace)
	setOrigin(job, wfe)
	err := s.Writer.Create(writing, job)
	switch {
	case apierrors.IsAlreadyExists(err):
		return 0, errChanged(wfe, err)
	case err != nil:
		why, err := classify(err)
		if err != nil {
			return 0, fmt.Errorf("create Job %s/%s: %w", job.Namespace, job.Name, err)
		}
		return s.fail(ctx, wfe, w, auditevents.Ended{Job: job.Name, Reason: why.reason, Message: why.message + "; nothing was changed"})
	}
	return wait(wfe, stop{reasonJobCreated, fmt.Sprintf("Job %s/%s was created", job.Namespace, job.Name), jobInterval}), nil
}

// jobEnded ends the execution as its Job did, with the end of the log. failure is empty if
// the Job succeeded.
func (s *Stage) jobEnded(ctx context.Context, wfe *v1alpha1.WorkflowExecution, w *world, job *batchv1.Job, failure string) (time.Duration, error) {
	log, err := s.Logs.Tail(ctx, job)
	if err != nil {
		log = fmt.Sprintf("[the log cannot be read: %v]", err)
	}
	e := auditevents.Ended{
		Account: s.Accounts.Username(w.workflow.Spec.ServiceAccountName), GenerationAfter: generation(w), Job: job.Name, Log: log,
		Message: fmt.Sprintf("Job %s/%s succeeded", job.Namespace, job.Name),
	}
	wfe.Status.LogTail = end(log, maxLogTail)
	if failure == "" {
		return s.complete(ctx, wfe, e)
	}
	e.Reason, e.Message = reasonJobFailed, failure
	return s.fail(ctx, wfe, w, e)
}

// Clean deletes the Job of an execution that is being deleted. It returns nil once the Job
// is gone or on its way.
func (s *Stage) Clean(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: plan.JobName(wfe.UID)}}
	if err := s.Writer.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Job %s/%s: %w", job.Namespace, job.Name, err)
	}
	return nil
}

// The annotations that lead from a Job to its execution.
const (
	annotationNamespace = "kubernaut.ai/execution-namespace"
	annotationName      = "kubernaut.ai/execution-name"
)

func setOrigin(job *batchv1.Job, wfe *v1alpha1.WorkflowExecution) {
	job.Annotations[annotationNamespace], job.Annotations[annotationName] = wfe.Namespace, wfe.Name
}

// Origin is the execution that a Job belongs to; false if it has none.
func Origin(job client.Object) (client.ObjectKey, bool) {
	a := job.GetAnnotations()
	key := client.ObjectKey{Namespace: a[annotationNamespace], Name: a[annotationName]}
	return key, a[v1alpha1.AnnotationExecution] != "" && key.Name != ""
}
