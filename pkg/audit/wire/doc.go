// Package wire is what a client and DataStorage have to agree on: the rules for an audit event and the words that say
// which one it breaks, strict JSON and its canonical form, the digest of parts, problem details (RFC 9457), and the
// types of the batch call, generated from the API's document.
//
// It imports nothing of the library. Programs that record events do not need it; there is no stability promise
// before version 1.0.
package wire
