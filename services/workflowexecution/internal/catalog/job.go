package catalog

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"kubernaut.ai/api/v1alpha1"
)

// checkJob says what is wrong with the template of a Job: what the platform sets, what
// restricted Pod Security refuses, and what the quota of the namespace refuses.
func checkJob(job *v1alpha1.WorkflowJob) ([]string, error) {
	spec := &job.Template.Spec
	wrong := setByPlatform(spec)
	pod := &spec.Template.Spec
	if len(pod.Containers) == 0 {
		wrong = append(wrong, "job: the template has no container")
	}
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			c := &containers[i]
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
				wrong = append(wrong, fmt.Sprintf("job: container %s needs a request of CPU and a limit of memory", c.Name))
			}
		}
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, fmt.Errorf("checks of restricted Pod Security: %w", err)
	}
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &spec.Template.ObjectMeta, pod))
	if !result.Allowed {
		wrong = append(wrong, "job: restricted Pod Security refuses the pod: "+result.ForbiddenDetail())
	}
	return wrong, nil
}

// setByPlatform names the fields of a template that the platform sets.
func setByPlatform(spec *batchv1.JobSpec) []string {
	pod := &spec.Template.Spec
	var wrong []string
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"backoffLimit", spec.BackoffLimit != nil},
		{"backoffLimitPerIndex", spec.BackoffLimitPerIndex != nil},
		{"parallelism", spec.Parallelism != nil},
		{"completions", spec.Completions != nil},
		{"completionMode", spec.CompletionMode != nil},
		{"activeDeadlineSeconds", spec.ActiveDeadlineSeconds != nil},
		{"ttlSecondsAfterFinished", spec.TTLSecondsAfterFinished != nil},
		{"suspend", spec.Suspend != nil},
		{"managedBy", spec.ManagedBy != nil},
		{"podFailurePolicy", spec.PodFailurePolicy != nil},
		{"successPolicy", spec.SuccessPolicy != nil},
		{"selector", spec.Selector != nil || spec.ManualSelector != nil},
		{"template.spec.serviceAccountName", pod.ServiceAccountName != "" || pod.DeprecatedServiceAccount != ""},
		{"template.spec.restartPolicy", pod.RestartPolicy != "" && pod.RestartPolicy != corev1.RestartPolicyNever},
		{"template.spec.activeDeadlineSeconds", pod.ActiveDeadlineSeconds != nil},
	} {
		if field.set {
			wrong = append(wrong, "job: the platform sets "+field.name+": remove it from the template")
		}
	}
	return wrong
}
