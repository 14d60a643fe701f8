// Package admission holds the ValidatingAdmissionPolicies that ship, and their bindings: who
// may write the resources of remediation, and that those who decide cannot be forged. The
// service compares what the API server enforces with them before a decision counts.
package admission

import (
	"embed"
	"fmt"
	"io/fs"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// FS holds one YAML file a policy or binding. Each writes out what the API server fills in by
// default, so that both can be compared field by field.
//
//go:embed policy-*.yaml binding-*.yaml
var FS embed.FS

const (
	// Approvals is the name of the policy on decisions themselves, and of its binding.
	Approvals = "remediationapprovals.kubernaut.ai"
	// Decisions is the name of the policy on decisions and what they decide on, and of its binding.
	Decisions = "remediationapprovals-executions.kubernaut.ai"
	// Executions is the name of the policy on executions, and of its binding.
	Executions = "workflowexecutions.kubernaut.ai"
	// Commands is the name of the policy on commands, and of its binding.
	Commands = "remediationcommands.kubernaut.ai"
	// Pause is the name of the policy on the pause switch, and of its binding.
	Pause = "pauseswitches.kubernaut.ai"

	// ProbeAccount is the service account, in the namespace of workflows, that tries a forged
	// decision.
	ProbeAccount = "approval-probe"
	// NameRule is the message of the first rule of Approvals.
	NameRule = "decidedBy must be the author of the request: name, uid and groups"
)

// Policy is a policy with its binding, which have the same name.
type Policy struct {
	Policy  *admissionv1.ValidatingAdmissionPolicy
	Binding *admissionv1.ValidatingAdmissionPolicyBinding
}

// Policies returns all policies by name.
func Policies() (map[string]Policy, error) {
	files, err := fs.Glob(FS, "policy-*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list admission policies: %w", err)
	}
	all := make(map[string]Policy, len(files))
	for _, file := range files {
		p := Policy{Policy: &admissionv1.ValidatingAdmissionPolicy{}, Binding: &admissionv1.ValidatingAdmissionPolicyBinding{}}
		if err := read(file, p.Policy); err != nil {
			return nil, err
		}
		if err := read("binding-"+file[len("policy-"):], p.Binding); err != nil {
			return nil, err
		}
		all[p.Policy.Name] = p
	}
	return all, nil
}

func read(file string, into runtime.Object) error {
	content, err := FS.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read admission policy: %w", err)
	}
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		return fmt.Errorf("read admission policy %s: %w", file, err)
	}
	return nil
}
