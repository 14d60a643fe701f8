// Package requests takes each RemediationRequest through the phases that follow Classified: it
// has a workflow selected, shows what becomes of the execution, and carries out the commands of
// people. Every event is recorded before the status that shows what it says.
//
// Other writers have other parts of the status: SignalProcessing the severity, environment and
// priority, and the Gateway the signals. A write applies only to the version that was read.
package requests
