package plan

import (
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"kubernaut.ai/api/v1alpha1"
)

// jobTTL is how long a finished Job is kept. It is much longer than an execution may
// take, so a late creation meets the Job of the same name.
const jobTTL = 24 * 60 * 60

// JobName is the name of an execution's Job.
func JobName(execution types.UID) string { return "wfe-" + string(execution) }

// RenderJob makes the Job of an execution. The platform decides the name, account,
// restarts, deadline, security and the variables; the template has the rest.
func RenderJob(
	wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter,
	execution types.UID, namespace string,
) *batchv1.Job {
	template := wf.Spec.Job.Template.DeepCopy()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: JobName(execution), Labels: template.Labels, Annotations: template.Annotations,
		},
		Spec: template.Spec,
	}
	if job.Annotations == nil {
		job.Annotations = map[string]string{}
	}
	job.Annotations[v1alpha1.AnnotationExecution] = string(execution)
	job.Spec.BackoffLimit = new(int32(0))
	job.Spec.Parallelism, job.Spec.Completions = new(int32(1)), new(int32(1))
	job.Spec.TTLSecondsAfterFinished = new(int32(jobTTL))
	job.Spec.ActiveDeadlineSeconds = new(int64(wf.Spec.Timeout.Seconds()))
	pod := &job.Spec.Template.Spec
	pod.ServiceAccountName = wf.Spec.ServiceAccountName
	pod.RestartPolicy = corev1.RestartPolicyNever
	restrictPod(pod)
	environment := variables(target, parameters, execution)
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			restrictContainer(&containers[i])
			containers[i].Env = override(containers[i].Env, environment)
		}
	}
	return job
}

func restrictPod(pod *corev1.PodSpec) {
	if pod.SecurityContext == nil {
		pod.SecurityContext = &corev1.PodSecurityContext{}
	}
	pod.SecurityContext.RunAsNonRoot = new(true)
	if pod.SecurityContext.SeccompProfile == nil {
		pod.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
}

func restrictContainer(c *corev1.Container) {
	if c.SecurityContext == nil {
		c.SecurityContext = &corev1.SecurityContext{}
	}
	c.SecurityContext.AllowPrivilegeEscalation = new(false)
	c.SecurityContext.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
}

// variables are what a Job's program is told: the parameters, the target and the execution.
// The target comes last and wins: a parameter never selects it.
func variables(target *unstructured.Unstructured, parameters []v1alpha1.ExecutionParameter, execution types.UID) []corev1.EnvVar {
	given := make([]corev1.EnvVar, 0, len(parameters))
	for _, p := range sorted(parameters) {
		given = append(given, corev1.EnvVar{Name: strings.ToUpper(p.Name), Value: p.Value})
	}
	return override(given, []corev1.EnvVar{
		{Name: "KUBERNAUT_EXECUTION", Value: string(execution)},
		{Name: "KUBERNAUT_TARGET_API_VERSION", Value: target.GetAPIVersion()},
		{Name: "KUBERNAUT_TARGET_KIND", Value: target.GetKind()},
		{Name: "KUBERNAUT_TARGET_NAMESPACE", Value: target.GetNamespace()},
		{Name: "KUBERNAUT_TARGET_NAME", Value: target.GetName()},
		{Name: "KUBERNAUT_TARGET_UID", Value: string(target.GetUID())},
	})
}

// override adds variables in place of those of the same names.
func override(have, with []corev1.EnvVar) []corev1.EnvVar {
	kept := slices.DeleteFunc(slices.Clone(have), func(v corev1.EnvVar) bool {
		return slices.ContainsFunc(with, func(w corev1.EnvVar) bool { return w.Name == v.Name })
	})
	return append(kept, with...)
}
