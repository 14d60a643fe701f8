package auditevents

// The types of the events about policies, which policyaudit records.
const (
	TypePolicyLoaded   = "workflowexecution.policy.loaded"
	TypePolicyRejected = "workflowexecution.policy.rejected"
)
