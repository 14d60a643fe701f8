// Package e2e holds the suite that runs against a whole cluster with the
// platform deployed in it as users deploy it.
//
// Run it in as many processes as you like: each has a namespace of its own, and
// whatever a spec makes has a name that no other spec, process or run has. So
// the suite may run again and again on a cluster that is kept. Specs that
// disturb others (restarts, kills, outages) are Serial: they run when all others
// have ended, each with a load of its own.
//
// The rules are those of the integration suite: act, wait by a watch, flush,
// query once. The flush reaches every pod of the Gateway and of
// SignalProcessing, through the API server. A failed spec prints first where the
// pipeline of its signals stopped. Its namespaces are kept.
//
// Specs that need a network plugin which enforces NetworkPolicies, as kind's
// and the one of hack/kind-node do, have the label network-policy: leave them
// out with LABELS='!network-policy' where yours does not.
package e2e
