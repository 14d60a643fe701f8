// Package approval decides on proposals: it finds the decisions of persons, and lets them count
// only if the API server provably refuses forged ones.
package approval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
)

// Accounts makes clients that act as service accounts.
type Accounts interface {
	Client(ctx context.Context, serviceAccount string, execution types.UID) (client.Client, error)
}

// refusedByName is what the API server answers to a decision in another's name. The message alone
// would be no proof: every other policy could have it, too.
const refusedByName = "ValidatingAdmissionPolicy '" + admission.Approvals + "' with binding '" + admission.Approvals + "' denied request: " + admission.NameRule

// Guard proves that the API server refuses forged decisions. It is stateless.
type Guard struct {
	Live     client.Reader
	Accounts Accounts
	// Namespace of workflows, where the probe is made.
	Namespace string
}

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get

// Snapshot is a digest over the policies' UIDs and generations. why says what is wrong with
// them; it is empty if they are what ships, field by field.
func (g *Guard) Snapshot(ctx context.Context) (digest, why string, err error) {
	shipped, err := admission.Policies()
	if err != nil {
		return "", "", err //nolint:wrapcheck // says what failed
	}
	names := []string{admission.Approvals, admission.Decisions, admission.Executions}
	read := make([]seen, len(names))
	group, reading := errgroup.WithContext(ctx)
	for i, name := range names {
		group.Go(func() error { return g.get(reading, name, &read[i].policy, &read[i].missing) })
		group.Go(func() error { return g.get(reading, name, &read[i].binding, &read[i].unbound) })
	}
	if err := group.Wait(); err != nil {
		return "", "", err //nolint:wrapcheck // says what failed
	}
	sum := sha256.New()
	for i, name := range names {
		policy, binding := &read[i].policy, &read[i].binding
		switch {
		case read[i].missing:
			return "", fmt.Sprintf("%T %s is missing", policy, name), nil
		case read[i].unbound:
			return "", fmt.Sprintf("%T %s is missing", binding, name), nil
		case !equality.Semantic.DeepEqual(policy.Spec, shipped[name].Policy.Spec):
			return "", fmt.Sprintf("ValidatingAdmissionPolicy %s is not the one that ships", name), nil
		case !equality.Semantic.DeepEqual(binding.Spec, shipped[name].Binding.Spec):
			return "", fmt.Sprintf("ValidatingAdmissionPolicyBinding %s is not the one that ships", name), nil
		}
		for _, object := range []client.Object{policy, binding} {
			fmt.Fprintf(sum, "%s/%s/%d;", name, object.GetUID(), object.GetGeneration())
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), "", nil
}

// seen is what was read of a policy. missing and unbound say that the policy and its binding do not exist.
type seen struct {
	policy           admissionv1.ValidatingAdmissionPolicy
	binding          admissionv1.ValidatingAdmissionPolicyBinding
	missing, unbound bool
}

// Probe tries a decision in another's name, in dry run. why says how the attempt was not
// refused as it must be; it is empty if it was.
func (g *Guard) Probe(ctx context.Context) (why string, err error) {
	c, err := g.Accounts.Client(ctx, admission.ProbeAccount, "")
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return fmt.Sprintf("service account %s/%s cannot be used, which tries a forged one (apply deploy/kustomize/workflows): %v", g.Namespace, admission.ProbeAccount, err), nil
	}
	if err != nil {
		return "", fmt.Errorf("act as service account %s/%s: %w", g.Namespace, admission.ProbeAccount, err)
	}
	uid := uuid.NewUUID()
	err = c.Create(ctx, &v1alpha1.RemediationApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: g.Namespace, Name: string(uid)},
		Spec: v1alpha1.RemediationApprovalSpec{
			Execution: "probe", ExecutionUID: uid, PlanDigest: strings.Repeat("0", hex.EncodedLen(sha256.Size)),
			Verdict: v1alpha1.VerdictReject, Reason: "This probe must be refused.", DecidedBy: v1alpha1.Decider{Name: "nobody"},
		},
	}, client.DryRunAll)
	switch {
	case err == nil:
		return "the API server accepted a decision in another's name", nil
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), refusedByName):
		return "", nil
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err):
		return fmt.Sprintf("a decision in another's name was not refused by %s (apply deploy/kustomize/workflows): %v", admission.Approvals, err), nil
	}
	return "", fmt.Errorf("try a decision in another's name, which %s must refuse: %w", admission.Approvals, err)
}

// get reads a policy or a binding.
func (g *Guard) get(ctx context.Context, name string, into client.Object, missing *bool) error {
	err := g.Live.Get(ctx, client.ObjectKey{Name: name}, into)
	if *missing = apierrors.IsNotFound(err); err != nil && !*missing {
		return fmt.Errorf("read admission policy %s: %w", name, err)
	}
	return nil
}
