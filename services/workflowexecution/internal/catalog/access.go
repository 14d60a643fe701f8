package catalog

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// maxNamespaces bounds in how many namespaces the rights of an account are looked for.
const maxNamespaces = 100

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// resources of the kinds that actions change.
var resources = map[v1alpha1.WorkflowKind]string{
	{APIVersion: appsVersion, Kind: kindDeployment}:  "deployments",
	{APIVersion: appsVersion, Kind: kindStatefulSet}: "statefulsets",
	{APIVersion: appsVersion, Kind: kindDaemonSet}:   "daemonsets",
}

const (
	kindDeployment  = "Deployment"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"

	appsGroup   = "apps"
	appsVersion = appsGroup + "/v1"
)

// right is what an account has to be allowed.
type right struct {
	verb, group, resource string
}

func (r right) String() string { return fmt.Sprintf("%s %s.%s", r.verb, r.resource, r.group) }

// rightsOf are the rights that a workflow's action needs. What the program of a Job needs
// only its author knows.
func rightsOf(spec *v1alpha1.RemediationWorkflowSpec) []right {
	if spec.Action == nil {
		return nil
	}
	var needed []right
	for _, kind := range spec.AppliesTo.Kinds {
		resource, ok := resources[kind]
		if !ok {
			continue
		}
		needed = append(needed, right{"get", appsGroup, resource}, right{"patch", appsGroup, resource})
	}
	if spec.Action.Rollback != nil {
		needed = append(needed, right{"list", appsGroup, "replicasets"})
	}
	return needed
}

// missingRights names, in one sentence, the rights that the account of a workflow has
// neither in the whole cluster nor in any namespace that the workflow may work in.
func (v *Validator) missingRights(ctx context.Context, wf *v1alpha1.RemediationWorkflow) ([]string, error) {
	var (
		missing    []string
		namespaces []string
		listed     bool
	)
	for _, needed := range rightsOf(&wf.Spec) {
		allowed, err := v.may(ctx, wf, needed, metav1.NamespaceAll)
		if err != nil {
			return nil, err
		}
		if !allowed && !listed {
			if namespaces, err = v.namespaces(ctx, wf); err != nil {
				return nil, err
			}
			listed = true
		}
		for i := 0; !allowed && i < len(namespaces); i++ {
			if allowed, err = v.may(ctx, wf, needed, namespaces[i]); err != nil {
				return nil, err
			}
		}
		if !allowed {
			missing = append(missing, needed.String())
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf(
		"service account %s/%s may not %s, neither in the cluster nor in a namespace that has opted in and that the workflow applies to: "+
			"bind a role that allows it", wf.Namespace, wf.Spec.ServiceAccountName, strings.Join(missing, " or "))}, nil
}

func (v *Validator) may(ctx context.Context, wf *v1alpha1.RemediationWorkflow, r right, namespace string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + wf.Namespace + ":" + wf.Spec.ServiceAccountName,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + wf.Namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: r.verb, Group: r.group, Version: "v1", Resource: r.resource,
		},
	}}
	if err := v.Writer.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether service account %s may %s: %w", wf.Spec.ServiceAccountName, r, err)
	}
	return review.Status.Allowed, nil
}

// namespaces are those that opted in and that the workflow's selector selects.
func (v *Validator) namespaces(ctx context.Context, wf *v1alpha1.RemediationWorkflow) ([]string, error) {
	optedIn, err := labels.NewRequirement(v1alpha1.LabelRemediation, selection.In, []string{v1alpha1.RemediationEnabled, v1alpha1.RemediationAuto})
	if err != nil {
		return nil, fmt.Errorf("select namespaces: %w", err)
	}
	selector := labels.NewSelector().Add(*optedIn)
	if own := wf.Spec.AppliesTo.NamespaceSelector; own != nil {
		parsed, err := metav1.LabelSelectorAsSelector(own)
		if err != nil {
			return nil, nil //nolint:nilerr // checked before; it selects nothing
		}
		requirements, _ := parsed.Requirements()
		selector = selector.Add(requirements...)
	}
	list := &corev1.NamespaceList{}
	if err := v.Live.List(ctx, list, client.MatchingLabelsSelector{Selector: selector}, client.Limit(maxNamespaces)); err != nil {
		return nil, fmt.Errorf("list the namespaces of workflow %s: %w", wf.Name, err)
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return names, nil
}
