//go:build integration

package execute_test

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/execute"
)

func (w *world) jobWorkflow() *v1alpha1.RemediationWorkflow {
	wf := w.workflow(nil)
	wf.Spec.Job = &v1alpha1.WorkflowJob{RepeatIsHarmless: "it only reads the object", Template: batchv1.JobTemplateSpec{
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "work", Image: "work:1", Env: []corev1.EnvVar{{Name: "KUBERNAUT_TARGET_NAME", Value: "another"}, {Name: "OWN", Value: "1"}},
			}},
		}}},
	}}
	wf.Spec.Parameters = []v1alpha1.WorkflowParameter{{Name: "keep", Type: v1alpha1.ParameterInteger}}
	return wf
}

// running takes an execution to its Job.
func (w *world) running() (*v1alpha1.WorkflowExecution, *batchv1.Job) {
	w.t.Helper()
	wfe := w.approve(w.jobWorkflow(), w.deployment("shop:1"), "Deployment", v1alpha1.ExecutionParameter{Name: "keep", Value: "3"})
	w.finish(wfe)
	job := &batchv1.Job{}
	must(w.t, w.Get(w.t.Context(), client.ObjectKey{Namespace: w.workflows, Name: "wfe-" + string(wfe.UID)}, job))
	return wfe, job
}

// end plays the kubelet's part: there is none, so no pod of the Job ends by itself.
func (w *world) end(job *batchv1.Job, condition batchv1.JobConditionType) {
	w.t.Helper()
	now := metav1.Now()
	before := batchv1.JobSuccessCriteriaMet
	if condition == batchv1.JobFailed {
		before = batchv1.JobFailureTarget
	}
	// The controller of Jobs leaves a suspended one alone.
	must(w.t, w.Patch(w.t.Context(), job, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`))))
	for {
		must(w.t, w.Get(w.t.Context(), client.ObjectKeyFromObject(job), job))
		job.Status.Active, job.Status.Ready, job.Status.Terminating, job.Status.StartTime = 0, nil, nil, &now
		job.Status.Conditions = []batchv1.JobCondition{
			{Type: before, Status: corev1.ConditionTrue, Reason: "Played"}, {Type: condition, Status: corev1.ConditionTrue, Reason: "Played", Message: "exit code 1"},
		}
		if condition == batchv1.JobComplete {
			job.Status.Succeeded, job.Status.CompletionTime = 1, &now
		}
		job.Status.UncountedTerminatedPods = nil
		err := w.Status().Update(w.t.Context(), job)
		if !apierrors.IsConflict(err) {
			must(w.t, err)
			return
		}
	}
}

func TestAJobRunsRestrictedInTheNamespaceOfWorkflows(t *testing.T) {
	w := newWorld(t, nil)
	wfe, job := w.running()
	pod := &job.Spec.Template.Spec
	if *job.Spec.BackoffLimit != 0 || *job.Spec.ActiveDeadlineSeconds != 300 || job.Spec.TTLSecondsAfterFinished == nil ||
		pod.RestartPolicy != corev1.RestartPolicyNever || pod.ServiceAccountName != "worker" || !*pod.SecurityContext.RunAsNonRoot ||
		pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("Job %+v", job.Spec)
	}
	container := &pod.Containers[0]
	if *container.SecurityContext.AllowPrivilegeEscalation || !slices.Equal(container.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("security context %+v", container.SecurityContext)
	}
	variables := make([]string, 0, len(container.Env))
	for _, v := range container.Env {
		variables = append(variables, v.Name+"="+v.Value)
	}
	for _, want := range []string{"OWN=1", "KEEP=3", "KUBERNAUT_TARGET_NAME=" + wfe.Spec.Target.Name, "KUBERNAUT_EXECUTION=" + string(wfe.UID)} {
		if !slices.Contains(variables, want) {
			t.Errorf("variables %v lack %s", variables, want)
		}
	}
	if !strings.Contains(wfe.Spec.Change, "image: work:1") {
		t.Errorf("the proposal shows\n%s", wfe.Spec.Change)
	}
	if key, ok := execute.Origin(job); !ok || key != client.ObjectKeyFromObject(wfe) {
		t.Errorf("the Job leads to %v", key)
	}

	w.log = strings.Repeat("x", 3000) + "done"
	w.end(job, batchv1.JobComplete)
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionVerifying || len(wfe.Status.LogTail) != 2048 || !strings.HasSuffix(wfe.Status.LogTail, "done") {
		t.Errorf("status %+v", wfe.Status)
	}
	if got := w.trail(wfe); !slices.Equal(got, whole) {
		t.Errorf("trail %v, want %v", got, whole)
	}
	if log := w.event(wfe, auditevents.TypeExecutionCompleted)["log"]; log != w.log {
		t.Error("the event does not have the log")
	}
	w.untouched(wfe)
}

func TestAFailedJobFailsItsExecution(t *testing.T) {
	w := newWorld(t, nil)
	wfe, job := w.running()
	w.log = "no space left"
	w.end(job, batchv1.JobFailed)
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionFailed || wfe.Status.Reason != "JobFailed" || wfe.Status.LogTail != w.log {
		t.Errorf("status %+v", wfe.Status)
	}
}

func TestADeletedJobIsNotCreatedAgain(t *testing.T) {
	w := newWorld(t, nil)
	wfe, job := w.running()
	must(t, w.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionFailed || wfe.Status.Outcome != v1alpha1.OutcomeInconclusive || wfe.Status.Reason != "JobDeleted" {
		t.Errorf("status %+v", wfe.Status)
	}
}

func TestAJobMayDeleteItsTarget(t *testing.T) {
	w := newWorld(t, nil)
	wfe, job := w.running()
	must(t, w.Delete(t.Context(), w.read("Deployment", wfe.Spec.Target.Name)))
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionExecuting || wfe.Status.Reason != "JobCreated" {
		t.Fatalf("while the Job runs: status %+v", wfe.Status)
	}
	w.end(job, batchv1.JobComplete)
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionVerifying {
		t.Errorf("status %+v", wfe.Status)
	}
}

func TestNoJobIsCreatedForATargetThatIsGone(t *testing.T) {
	w := newWorld(t, nil)
	wfe := w.approve(w.jobWorkflow(), w.deployment("shop:1"), "Deployment")
	for range 20 {
		if _, err := w.step(w.stage, wfe); !apierrors.IsConflict(err) {
			must(t, err)
		}
		if wfe.Status.Phase == v1alpha1.ExecutionExecuting {
			break
		}
	}
	must(t, w.Delete(t.Context(), w.read("Deployment", wfe.Spec.Target.Name)))
	w.finish(wfe)
	if wfe.Status.Phase != v1alpha1.ExecutionFailed || wfe.Status.Outcome != v1alpha1.OutcomeInconclusive || wfe.Status.Reason != "TargetGone" {
		t.Errorf("status %+v", wfe.Status)
	}
	err := w.Get(t.Context(), client.ObjectKey{Namespace: w.workflows, Name: "wfe-" + string(wfe.UID)}, &batchv1.Job{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the Job: %v", err)
	}
}

func TestADeletedExecutionTakesItsJobAlong(t *testing.T) {
	w := newWorld(t, nil)
	wfe, job := w.running()
	must(t, w.Delete(t.Context(), wfe))
	must(t, w.Get(t.Context(), client.ObjectKeyFromObject(wfe), wfe))
	if !controllerutil.ContainsFinalizer(wfe, v1alpha1.FinalizerJob) {
		t.Fatal("the execution has no finalizer")
	}
	must(t, w.stage.Clean(t.Context(), wfe))
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(job), job); err == nil && job.DeletionTimestamp == nil {
		t.Error("the Job is still there")
	}
}
