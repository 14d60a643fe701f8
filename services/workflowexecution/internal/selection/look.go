package selection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/gitops"
)

// +kubebuilder:rbac:groups="",resources=namespaces;pods;nodes;persistentvolumeclaims;persistentvolumes;services;replicationcontrollers;resourcequotas;limitranges,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments;replicasets;statefulsets;daemonsets,verbs=get
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses;networkpolicies,verbs=get
// +kubebuilder:rbac:groups=kubernaut.ai,resources=signalprocessings,verbs=get
// +kubebuilder:rbac:groups=kubernaut.ai,resources=remediationworkflows,verbs=get;list;watch

// versions are the API versions of the kinds that own workloads, which owner chains leave out.
var versions = map[string]string{
	"Pod": "v1", "Node": "v1", "Namespace": "v1", "Deployment": appsVersion, "ReplicaSet": appsVersion, "StatefulSet": appsVersion,
	"DaemonSet": appsVersion, "Job": "batch/v1", "CronJob": "batch/v1",
}

const appsVersion = "apps/v1"

// situation is what a selection has seen of the cluster.
type situation struct {
	processing *v1alpha1.SignalProcessing
	namespace  *corev1.Namespace // nil for a cluster-scoped target
	target     *unstructured.Unstructured
	gitOps     string
	workflows  []v1alpha1.RemediationWorkflow
	recent     []v1alpha1.WorkflowExecution
	policy     *v1alpha1.Policy // written by choose
}

func (f *situation) workflow(name string) *v1alpha1.RemediationWorkflow {
	i := slices.IndexFunc(f.workflows, func(wf v1alpha1.RemediationWorkflow) bool { return wf.Name == name })
	if i < 0 {
		return nil
	}
	return &f.workflows[i]
}

func (f *situation) optIn() string {
	if f.namespace == nil {
		return ""
	}
	return f.namespace.Labels[v1alpha1.LabelRemediation]
}

// look reads what a selection depends on. A *noneError says why nothing can be selected.
func (s *Selector) look(ctx context.Context, rr *v1alpha1.RemediationRequest) (*situation, error) {
	// Whoever may create a request names any target, and the proposal shows what would change there.
	// The Gateway puts requests about a target elsewhere in the platform's namespace.
	if named := rr.Spec.TargetResource.Namespace; named != "" && named != rr.Namespace && rr.Namespace != s.options.PlatformNamespace {
		return nil, nonef(v1alpha1.ReasonNoWorkflow, "the target is in namespace %s, and the request is not, so nothing was read there: "+
			"create the request in the namespace of its target", named)
	}
	f := &situation{processing: &v1alpha1.SignalProcessing{}}
	var read catalogue
	var reading sync.WaitGroup
	reading.Go(func() { read = s.read(ctx, rr.Spec.TargetResource.Namespace) })
	err := s.lookAtTarget(ctx, rr, f)
	if reading.Wait(); err != nil {
		return nil, err
	}
	if err := s.lookAtWorkflows(rr, f, read); err != nil {
		return nil, err
	}
	var all v1alpha1.WorkflowExecutionList
	if err := s.Cached.List(ctx, &all, client.InNamespace(rr.Namespace)); err != nil {
		return nil, fmt.Errorf("list cached WorkflowExecutions: %w", err)
	}
	f.recent = recentOn(all.Items, f.target)
	return f, nil
}

// lookAtTarget reads the processing of the request, and the target that it names.
func (s *Selector) lookAtTarget(ctx context.Context, rr *v1alpha1.RemediationRequest, f *situation) error {
	processed := client.ObjectKey{Namespace: rr.Namespace, Name: rr.Status.SignalProcessingRef}
	if err := s.Live.Get(ctx, processed, f.processing); err != nil {
		return fmt.Errorf("read SignalProcessing %s: %w", processed, err)
	}
	signalled := &rr.Spec.TargetResource
	kind, name, version := signalled.Kind, signalled.Name, signalled.APIVersion
	if found := f.processing.Status.Context; found != nil && len(found.OwnerChain) > 0 {
		top := found.OwnerChain[len(found.OwnerChain)-1]
		kind, name, version = top.Kind, top.Name, ""
	}
	if known := versions[kind]; known != "" {
		version = known
	}
	if version == "" {
		return nonef(v1alpha1.ReasonNoWorkflow, "the API version of %s %s is not known", kind, name)
	}
	f.target = &unstructured.Unstructured{}
	f.target.SetAPIVersion(version)
	f.target.SetKind(kind)
	key := client.ObjectKey{Namespace: signalled.Namespace, Name: name}
	err := s.Live.Get(ctx, key, f.target)
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return nonef(v1alpha1.ReasonNoWorkflow, "%s %s is not in this cluster", kind, key)
	case apierrors.IsForbidden(err):
		return nonef(v1alpha1.ReasonNoWorkflow, "%s %s may not be read: %v", kind, key, err)
	case err != nil:
		return fmt.Errorf("read %s %s: %w", kind, key, err)
	}
	f.gitOps = gitops.Tool(f.target)
	return nil
}

// catalogue is what a selection reads while it reads the target.
type catalogue struct {
	namespace *corev1.Namespace // nil for a cluster-scoped target
	workflows v1alpha1.RemediationWorkflowList
	scalers   autoscalingv2.HorizontalPodAutoscalerList
	err       error
}

// read reads the workflows, and the namespace of the target with what scales there.
func (s *Selector) read(ctx context.Context, namespace string) catalogue {
	var read catalogue
	var catalog, opted, scaled error
	var reading sync.WaitGroup
	reading.Go(func() {
		if err := s.Live.List(ctx, &read.workflows, client.InNamespace(s.options.WorkflowsNamespace)); err != nil {
			catalog = fmt.Errorf("list the workflows of namespace %s: %w", s.options.WorkflowsNamespace, err)
		}
	})
	if namespace != "" {
		read.namespace = &corev1.Namespace{}
		reading.Go(func() {
			if err := s.Live.Get(ctx, client.ObjectKey{Name: namespace}, read.namespace); err != nil {
				opted = fmt.Errorf("read namespace %s: %w", namespace, err)
			}
		})
		reading.Go(func() {
			if err := s.Live.List(ctx, &read.scalers, client.InNamespace(namespace)); err != nil {
				scaled = fmt.Errorf("list the HorizontalPodAutoscalers of namespace %s: %w", namespace, err)
			}
		})
	}
	reading.Wait()
	read.err = errors.Join(opted, catalog, scaled)
	return read
}

// lookAtWorkflows finds the valid workflows that apply.
func (s *Selector) lookAtWorkflows(rr *v1alpha1.RemediationRequest, f *situation, read catalogue) error {
	if read.err != nil {
		return read.err
	}
	f.namespace = read.namespace
	problem := catalog.Problem{
		SignalName: rr.Spec.SignalName, APIVersion: f.target.GetAPIVersion(), Kind: f.target.GetKind(), Severity: rr.Status.Severity,
	}
	if f.namespace != nil {
		problem.NamespaceLabels = f.namespace.Labels
	}
	scaled := scalerOf(f.target, read.scalers.Items)
	invalid, refused := 0, 0
	for i := range read.workflows.Items {
		wf := &read.workflows.Items[i]
		applies, err := catalog.Matches(wf, problem)
		switch {
		case err != nil || applies && !valid(wf):
			invalid++
		case applies && scaled != "" && wf.Spec.Action != nil && wf.Spec.Action.Scale != nil:
			refused++
		case applies:
			f.workflows = append(f.workflows, *wf)
		}
	}
	if len(f.workflows) == 0 {
		message := fmt.Sprintf("no valid workflow applies to signal %s on %s %s", rr.Spec.SignalName, f.target.GetKind(), f.target.GetName())
		if invalid > 0 {
			message += fmt.Sprintf("; %d would apply, but are not valid", invalid)
		}
		if refused > 0 {
			message += fmt.Sprintf("; %d would scale it, which HorizontalPodAutoscaler %s does", refused, scaled)
		}
		return nonef(v1alpha1.ReasonNoWorkflow, "%s", message)
	}
	slices.SortFunc(f.workflows, func(a, b v1alpha1.RemediationWorkflow) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// valid reports whether the catalog has found the workflow valid as it is now.
func valid(wf *v1alpha1.RemediationWorkflow) bool {
	digest, err := catalog.Digest(&wf.Spec)
	return err == nil && wf.DeletionTimestamp == nil && wf.Status.ObservedGeneration == wf.Generation && wf.Status.SHA256 == digest &&
		meta.IsStatusConditionTrue(wf.Status.Conditions, v1alpha1.ConditionValid)
}

// scalerOf is the name of the HorizontalPodAutoscaler that scales the target; empty if none does.
func scalerOf(target *unstructured.Unstructured, all []autoscalingv2.HorizontalPodAutoscaler) string {
	for i := range all {
		of := all[i].Spec.ScaleTargetRef
		if of.Kind == target.GetKind() && of.Name == target.GetName() {
			return all[i].Name
		}
	}
	return ""
}

// maxRecent bounds the executions that the policy sees.
const maxRecent = 20

// recentOn are the latest executions on a target, the latest first.
func recentOn(all []v1alpha1.WorkflowExecution, target *unstructured.Unstructured) []v1alpha1.WorkflowExecution {
	all = slices.DeleteFunc(all, func(wfe v1alpha1.WorkflowExecution) bool { return wfe.Spec.Target.UID != target.GetUID() })
	slices.SortFunc(all, func(a, b v1alpha1.WorkflowExecution) int {
		if c := b.CreationTimestamp.Compare(a.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name)
	})
	return all[:min(len(all), maxRecent)]
}
