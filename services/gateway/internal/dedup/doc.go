// Package dedup opens remediation requests: one for all signals of a problem,
// even if several replicas receive them at the same time.
//
// The register, a Lease for each fingerprint in the Gateway's own namespace,
// names the request that takes the fingerprint's signals. The Lease is not a
// lock: replicas change it by compare-and-swap, every replica can go on from any
// state that it reads, and a replica that dies leaves nothing behind to release.
// docs/decisions/0003-request-names.md gives the reasons; README.md describes
// the model that the tests check the protocol against.
//
// The informer cache only proposes requests. Every request that is returned to a
// source was confirmed by a read from the API server.
package dedup
