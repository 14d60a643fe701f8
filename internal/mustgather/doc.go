// Package mustgather collects what is needed to diagnose Kubernaut: resources,
// logs, events, metrics, the state of audit stores and of DataStorage, and
// timelines of requests. It changes nothing in the cluster.
//
// The archive follows the conventions of OpenShift's must-gather: a version
// file, a folder for each namespace and API group, current and previous logs.
// Every step is best effort and has a time limit of its own; what could not be
// collected, and why, is in not-collected.txt. Everything that is written
// passes package redact, and has no characters that control a terminal.
//
// To collect something else, add a step: clusterSteps, namespaceSteps and
// podSteps are the lists.
package mustgather
