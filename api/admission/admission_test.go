package admission_test

import (
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"kubernaut.ai/api/admission"
)

func TestEachPolicyDeniesAndFailsClosed(t *testing.T) {
	t.Parallel()
	all, err := admission.Policies()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{admission.Approvals, admission.Decisions, admission.Executions, admission.Commands, admission.Pause} {
		p, ok := all[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		if p.Binding.Name != name || p.Binding.Spec.PolicyName != name {
			t.Errorf("%s is bound by %s to %s", name, p.Binding.Name, p.Binding.Spec.PolicyName)
		}
		if !slices.Equal(p.Binding.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) {
			t.Errorf("%s: actions %v", name, p.Binding.Spec.ValidationActions)
		}
		if f := p.Policy.Spec.FailurePolicy; f == nil || *f != admissionv1.Fail {
			t.Errorf("%s does not fail closed", name)
		}
	}
	if first := all[admission.Approvals].Policy.Spec.Validations[0].Message; first != admission.NameRule {
		t.Errorf("the first rule says %q", first)
	}
}
