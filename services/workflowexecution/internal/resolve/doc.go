// Package resolve ends requests because their signal does, from their classification on.
//
// Before an execution, a request ends as Skipped when no instance of its signal fires, or when
// none was repeated for so long that nobody knows; an open proposal is invalidated first, so
// that nothing starts for a problem that is gone. A request that waits for a person is
// Completed when nothing fires. During an execution and its verification the signal ends
// nothing: it is input of the verification.
//
// SignalProcessing ends requests before their classification, and those whose review it
// asked for.
//
// Every decision is made for the version of the request that was read from the API server. If
// a signal arrives meanwhile, the write fails and the decision is made again. The event of an
// end that was prevented in this way remains in the trail, followed by that of the signal.
// Nothing else of this service changes the phase meanwhile: the controller of requests calls
// this package first, and works at a request in one goroutine only.
package resolve
