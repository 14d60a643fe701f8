// Package signal is the vocabulary that the parts of the Gateway share: the
// [Notification] that a source delivers, its [Observation]s, their
// [Fingerprint], and the bounds of what a source may send.
//
// Each source has an adapter: a package with one function from the bytes of a
// body to a Notification, such as package alertmanager. Adapters check and
// bound what they read and never talk to a cluster, so they can be fuzzed.
// Package target tells which object a signal is about.
package signal
