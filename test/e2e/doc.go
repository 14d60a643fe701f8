// Package e2e contains the suite that runs against a cluster with the platform
// deployed as users deploy it.
//
// It can run in any number of processes: each has a namespace, and all objects have
// unique names, so that the suite can run repeatedly on the same cluster. Disruptive
// specs (restarts, kills, outages) are Serial: they run after all others, each with its
// own load.
//
// The rules are those of the integration suite: act, wait by a watch, flush, query
// once. The flush reaches every pod of the Gateway and of SignalProcessing through
// the API server. A failed spec first prints where the pipeline of its signals
// stopped. Its namespaces are not removed.
//
// Specs with the label network-policy need a network plugin that enforces
// NetworkPolicies, as kind's and that of hack/kind-node do. Exclude them with
// LABELS='!network-policy' if yours does not.
package e2e
