// Package dedup opens remediation requests: one for all signals of a
// problem, however many replicas take them at the same moment.
//
// Which request a fingerprint has is written down in a Lease of the Gateway's
// own namespace. The Lease is a register that is changed by compare-and-swap,
// never a lock: whoever reads it can go on alone, and a replica that dies
// leaves nothing to be released. The decision is recorded in
// docs/decisions/0003-request-names.md.
//
// The informer cache only proposes a request; what is answered to a source
// was confirmed by a read from the API server.
package dedup
