// Package target tells which object a signal is about, and which workload is
// above it, such as the Deployment of a pod or the CronJob of a job. Signals about
// the pods of one workload are one problem.
//
// Package rules decides by the labels. This package answers what the rules ask
// about the cluster, finds the API version of custom resources through discovery,
// and looks up owners. It reads metadata, the node of an agent's pod, and the
// addresses of nodes, never Secrets or ConfigMaps.
//
// What was read is cached, also that an object is missing, and concurrent reads of
// one object are one. A kind that we are not allowed to read is named from the
// labels, and its owner is not known.
package target
