package main

// needed is a call without which a remediation cannot keep what the platform promises.
type needed struct {
	service, name string
	// count is how often it is needed at most.
	count int
	why   string
}

// key names the service and the call.
func (n *needed) key() string { return n.service + ": " + n.name }

const (
	createRequest = "create remediationrequests"
	patchRequest  = "patch remediationrequests/status"
	getTarget     = "get deployments"
	writeTarget   = "patch deployments, by the workflow"
)

const (
	byGateway    = "gateway"
	byProcessing = "signalprocessing"
	byExecution  = "workflowexecution"
)

// neededCalls are all of them. What a service does more often, or does beside them, is its overhead:
// reads that find out whether a step was made before, reads of what the step before has just read,
// and waits.
var neededCalls = []needed{
	{byGateway, getTarget, 1, "what the signal is about"},
	{byGateway, "create leases", 1, "one request for a problem, whichever replica gets its signals"},
	{byGateway, createRequest, 1, "the request"},
	{byGateway, "get remediationrequests", 1, "the request that a resolved signal is about"},
	{byGateway, patchRequest, 1, "the signal has resolved"},

	{byProcessing, "create signalprocessings", 1, "the processing of the request"},
	{byProcessing, getTarget, 1, "enrichment"},
	{byProcessing, "update signalprocessings/status", 4, "its phases: Pending, Enriching, Classifying, Completed"},
	{byProcessing, patchRequest, 1, "phase Classified"},

	{byExecution, "get remediationrequests", 2, "live, before the selection and at the verification"},
	{byExecution, "get signalprocessings", 1, "evidence of the selection"},
	{byExecution, getTarget, 3, "the target: at the selection, its top owner at the start, the condition at the end"},
	{byExecution, "get namespaces", 3, "the opt-in at the selection; a pause, before the start and before the write"},
	{byExecution, "list remediationworkflows", 1, "the catalog"},
	{byExecution, "list horizontalpodautoscalers", 1, "a target with one is not scaled"},
	{byExecution, "create serviceaccounts/token", 2, "the rights of the workflow: for the plan, and for the execution"},
	{byExecution, "patch deployments, dry run, by the workflow", 2, "at the proposal and at the start"},
	{byExecution, "get validatingadmissionpolicies", 6, "their generations: before the proposal, and at the decision"},
	{byExecution, "get validatingadmissionpolicybindings", 6, "likewise"},
	{byExecution, "list workflowexecutions", 1, "at the start: cool-downs, maxima, and executions that did not help"},
	{byExecution, "list remediationrequests", 1, "at the start: the requests of executions that did not help"},
	{byExecution, "create workflowexecutions", 1, "the proposal"},
	{byExecution, "get remediationapprovals", 2, "a rejection under either name wins"},
	{byExecution, "get workflowexecutions", 2, "live before the start, and after the Lease was taken"},
	{byExecution, "create leases", 1, "one execution for a top owner"},
	{byExecution, "get pauseswitches", 2, "live, before the start and before the write"},
	{byExecution, "get remediationworkflows", 2, "live: what was approved, at the start; the condition, at the end"},
	{byExecution, "get deployments, by the workflow", 2, "live: before the dry run, and right before the write"},
	{byExecution, writeTarget, 1, "the restart"},
	{byExecution, "delete leases", 1, "the next execution may begin"},
	{byExecution, "patch workflowexecutions/status", 4, "its phases: Approved, Executing, Verifying, Succeeded"},
	{byExecution, patchRequest, 5, "its phases: AwaitingApproval, Approved, Executing, Verifying, Completed"},
}
