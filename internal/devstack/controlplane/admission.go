package controlplane

import (
	"context"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
)

// InstallPolicies installs the admission policies, or brings existing ones up to date, and
// waits until the API server enforces them.
func InstallPolicies(ctx context.Context, config *rest.Config) error {
	types, err := kube.Scheme()
	if err != nil {
		return fmt.Errorf("install admission policies: %w", err)
	}
	c, err := client.New(config, client.Options{Scheme: types})
	if err != nil {
		return fmt.Errorf("install admission policies: %w", err)
	}
	policies, err := admission.Policies()
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	for name, p := range policies {
		policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := controllerutil.CreateOrUpdate(ctx, c, policy, func() error { policy.Spec = p.Policy.Spec; return nil }); err != nil {
			return fmt.Errorf("install admission policy %s: %w", name, err)
		}
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := controllerutil.CreateOrUpdate(ctx, c, binding, func() error { binding.Spec = p.Binding.Spec; return nil }); err != nil {
			return fmt.Errorf("install binding of admission policy %s: %w", name, err)
		}
	}
	err = wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) { return enforced(ctx, c) })
	if err != nil {
		return fmt.Errorf("wait until admission policies are enforced: %w", err)
	}
	return nil
}

// reasonProbe is the reason of objects that are to be refused.
const reasonProbe = "probe"

// enforced reports whether a decision with a false author and a pause with one are refused. The
// API server reads policies and bindings one by one, so one that works is no proof of another.
func enforced(ctx context.Context, c client.Client) (bool, error) {
	uid := uuid.NewUUID()
	nobody := v1alpha1.Decider{Name: "nobody"}
	for rule, object := range map[string]client.Object{
		admission.Approvals: &v1alpha1.RemediationApproval{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: string(uid)},
			Spec: v1alpha1.RemediationApprovalSpec{
				Execution: "none", ExecutionUID: uid, PlanDigest: strings.Repeat("0", sha256Hex),
				Verdict: v1alpha1.VerdictReject, Reason: reasonProbe, DecidedBy: nobody,
			},
		},
		admission.Commands: &v1alpha1.RemediationCommand{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: string(uid)},
			Spec: v1alpha1.RemediationCommandSpec{
				Request: v1alpha1.ObjectRef{Name: "none", UID: uid}, Command: v1alpha1.CommandClose, Reason: reasonProbe, RequestedBy: nobody,
			},
		},
		admission.Pause: &v1alpha1.PauseSwitch{
			ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PauseSwitchName},
			Spec:       v1alpha1.PauseSwitchSpec{Reason: reasonProbe, ChangedBy: nobody},
		},
	} {
		err := c.Create(ctx, object, client.DryRunAll)
		if err == nil {
			return false, nil
		}
		if !strings.Contains(err.Error(), rule) {
			return false, fmt.Errorf("probe %s: %w", rule, err)
		}
	}
	return true, nil
}

const sha256Hex = 64
