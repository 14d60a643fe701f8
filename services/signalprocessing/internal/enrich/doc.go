// Package enrich collects the cluster's context of a signal's target: its owners,
// namespace and node, and the objects that protect or scale it.
//
// Targets may be gone before their alert is processed. A missing object (target,
// namespace) or an unknown kind degrades the context and is not a failure. A read
// that fails (no permission, API server unreachable) is an *[Error], and the caller
// retries.
//
// Everything is read from the API server, with bounded lists: informers for every
// pod of the cluster would cost more than a few reads for each signal, and would
// wait forever if a permission is missing. Signals that arrive together share what was
// read about their namespace and node: it is at most five seconds old.
package enrich
