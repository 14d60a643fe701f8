# Remediation selects a workflow for a classified request, and says whether a person has to
# approve it. The platform checks the answer against the catalog, and never takes less
# approval than the mode and the namespace demand.
package kubernaut.remediation

# Workflows need values that this policy does not know if a parameter is required.
candidates := [workflow |
	some workflow in input.workflows
	not needs_values(workflow)
]

needs_values(workflow) if {
	some parameter in workflow.parameters
	parameter.required
}

risks := {"low": 0, "medium": 1, "high": 2}

# What did not help here lately comes last; then the least risk comes first.
ranked := sort([[disappointments(workflow), risks[workflow.risk], workflow.name] | some workflow in candidates])

disappointments(workflow) := count([1 |
	some execution in input.recent
	execution.workflow == workflow.name
	execution.outcome in {"Ineffective", "Inconclusive"}
])

default decision := {"workflow": "", "parameters": {}, "approval": "required", "reason": "no workflow applies without values for its parameters"}

decision := {"workflow": name, "parameters": {}, "approval": approval, "reason": reason} if {
	name := ranked[0][2]
	reason := sprintf("of the workflows that apply (%d), %s has the least risk and the best record on this target", [count(candidates), name])
}

default approval := "required"

# Only those who own the namespace can say this: labels of signals and targets, and names,
# never remove an approval.
approval := "auto" if {
	ranked[0][0] == 0
	ranked[0][1] == risks.low
	input.environment.value in {"development", "test"}
	input.environment.source == "namespace-label"
	input.namespace.remediation == "auto"
}
