package catalog

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// +kubebuilder:rbac:groups="",namespace=kubernaut-workflows,resources=serviceaccounts,verbs=get
// +kubebuilder:rbac:groups=kubernaut.ai,namespace=kubernaut-workflows,resources=remediationworkflows,verbs=get

// Validator says whether a workflow can be used. All fields are required.
type Validator struct {
	// Live reads from the API server.
	Live client.Reader
	// Writer asks for access reviews.
	Writer client.Writer
}

// Validate names everything that is wrong with a workflow. The error is about the
// validation: it has not come to an end.
func (v *Validator) Validate(ctx context.Context, wf *v1alpha1.RemediationWorkflow) ([]string, error) {
	wrong, err := checkSpec(&wf.Spec)
	if err != nil {
		return nil, err
	}
	account := client.ObjectKey{Namespace: wf.Namespace, Name: wf.Spec.ServiceAccountName}
	switch err := v.Live.Get(ctx, account, &corev1.ServiceAccount{}); {
	case apierrors.IsNotFound(err):
		wrong = append(wrong, fmt.Sprintf("service account %s does not exist: create it", account))
	case err != nil:
		return nil, fmt.Errorf("read service account %s: %w", account, err)
	default:
		missing, err := v.missingRights(ctx, wf)
		if err != nil {
			return nil, err
		}
		wrong = append(wrong, missing...)
	}
	missing, err := v.checkRollback(ctx, wf)
	if err != nil {
		return nil, err
	}
	return append(wrong, missing...), nil
}

// checkSpec says what is wrong with a workflow, whatever else there is in the cluster.
func checkSpec(spec *v1alpha1.RemediationWorkflowSpec) ([]string, error) {
	wrong := checkParameters(spec)
	if selector := spec.AppliesTo.NamespaceSelector; selector != nil {
		if _, err := metav1.LabelSelectorAsSelector(selector); err != nil {
			wrong = append(wrong, fmt.Sprintf("namespaceSelector: %v", err))
		}
	}
	if _, err := CompileCondition(spec.Verification.Condition); err != nil {
		wrong = append(wrong, fmt.Sprintf("verification: %v", err))
	}
	if spec.Action != nil {
		wrong = append(wrong, checkKinds(spec)...)
	}
	if spec.Job != nil {
		refused, err := checkJob(spec.Job)
		if err != nil {
			return nil, err
		}
		wrong = append(wrong, refused...)
	}
	return wrong, nil
}

// checkKinds names the kinds that an action cannot change.
func checkKinds(spec *v1alpha1.RemediationWorkflowSpec) []string {
	name, kinds := "restart", []string{kindDeployment, kindStatefulSet, kindDaemonSet}
	switch {
	case spec.Action.Rollback != nil:
		name, kinds = "rollback", []string{kindDeployment}
	case spec.Action.Scale != nil:
		name, kinds = "scale", []string{kindDeployment, kindStatefulSet}
	}
	var wrong []string
	for _, kind := range spec.AppliesTo.Kinds {
		if _, known := resources[kind]; !known || !slices.Contains(kinds, kind.Kind) {
			wrong = append(wrong, fmt.Sprintf("appliesTo: %s cannot change a %s of %s", name, kind.Kind, kind.APIVersion))
		}
	}
	return wrong
}

func (v *Validator) checkRollback(ctx context.Context, wf *v1alpha1.RemediationWorkflow) ([]string, error) {
	if wf.Spec.Rollback == "" {
		return nil, nil
	}
	if wf.Spec.Rollback == wf.Name {
		return []string{"rollback: a workflow cannot be its own rollback"}, nil
	}
	key := client.ObjectKey{Namespace: wf.Namespace, Name: wf.Spec.Rollback}
	switch err := v.Live.Get(ctx, key, &v1alpha1.RemediationWorkflow{}); {
	case apierrors.IsNotFound(err):
		return []string{fmt.Sprintf("rollback: workflow %s does not exist: create it", key.Name)}, nil
	case err != nil:
		return nil, fmt.Errorf("read workflow %s: %w", key, err)
	}
	return nil, nil
}
