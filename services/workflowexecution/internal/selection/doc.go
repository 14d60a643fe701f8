// Package selection decides what is proposed about a classified request: it asks the policy
// kubernaut.remediation.decision, checks the answer against the catalog, and creates the
// proposal, a WorkflowExecution. Where the platform must not act, the proposal says so and
// nobody can approve it.
package selection
