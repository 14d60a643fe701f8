// Package policy holds the bundle of Rego modules that decides: severity,
// environment, priority and business of a signal.
//
// There is one bundle for all decisions: the built-in one, or a directory of the
// user's (a mounted ConfigMap). A Set is a bundle that can be used: it compiles,
// its own tests pass, and it defines every decision that the built-in bundle
// defines. A Source watches a directory and puts each new usable bundle in force,
// whole; a bundle that is not usable is rejected, and the last good one stays.
//
// Decisions can be replayed: a policy sees nothing but its input. Built-in
// functions are an allow list, without the network, the clock or chance; the time
// is part of the input.
package policy
