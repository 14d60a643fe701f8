// Package target tells which object a signal is about: [FromLabels] reads the
// object from the signal's labels, and [Resolver] finds the workload above it,
// such as the Deployment of a pod or the CronJob of a job. Signals about the
// pods of one workload are one problem.
//
// A Resolver needs the permission to get the kinds that it looks up.
// Resolution stops at a kind that we are not allowed to read or that the
// cluster does not serve; the owner reference still gives its name.
package target
