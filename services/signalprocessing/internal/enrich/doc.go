// Package enrich finds out what the cluster knows about the target of a
// signal: its owners, its namespace, its node, and what guards or scales it.
//
// Targets come and go faster than alerts do. What is not there (the target,
// its namespace, a kind that nobody knows) degrades the context and is no
// failure; what could not be asked (no permission, API server away) is an
// *[Error], and the caller tries again.
//
// Everything is read live, with bounded lists: informers on every pod of the
// cluster would cost more than a few reads a signal, and would wait forever
// where a permission is missing.
package enrich
