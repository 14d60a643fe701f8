// Package plan works out what a workflow would do to a target: the patch or the Job, the
// difference that a server-side dry run shows, and the digest of what is approved.
//
// The digest covers the target's UID, the workflow, the parameters, and the values of the
// fields that the action depends on and changes. Other changes of the target leave it as
// it is, so that a proposal survives, for instance, an autoscaler.
package plan
