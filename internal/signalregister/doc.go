// Package signalregister reads and writes the register of requests: for each
// fingerprint a Lease in the Gateway's namespace that names the request which
// takes the fingerprint's signals.
//
// The Gateway opens requests, and whoever removes one closes its entry first.
// The Lease is not a lock: nobody holds it, and every change depends on the
// resource version that was read, so that replicas and services agree without
// talking to each other. docs/decisions/0003-request-names.md has the protocol.
package signalregister
