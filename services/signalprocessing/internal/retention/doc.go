// Package retention ends requests that nobody needs any more, and removes them later.
//
// A request ends as Skipped when no instance of its signal fires, or when none was
// repeated for a while. It is deleted some time after its end, when DataStorage has
// stored every event of its trail that this process has recorded, the one about the
// deletion included. Requests in phases that another service owns are left alone: that is all
// from Classified on, if WorkflowExecution is there.
//
// Requests have a finalizer, because the register of fingerprints must be closed before
// the request that it names is gone. The package closes the register whoever deletes the
// request. The register is not worth a request, or a namespace, that cannot be deleted:
// without the Gateway's namespace, or after a patience of ten minutes, the request goes
// without it, and the Gateway finds out by itself.
//
// Every decision is made for the version of the request that was read from the API
// server. If a signal arrives meanwhile, the write fails and the decision is made again.
// The event of an end that was prevented in this way remains in the trail, followed by
// the event of the signal.
package retention
