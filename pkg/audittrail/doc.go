// Package audittrail reads audit trails from DataStorage, for clients.
//
// [Reader.Read] returns a complete trail: it first flushes every store that may
// have pending events, which proves that they are stored, and then queries once
// at the consistency tokens of the flushes. There is nothing to wait for and
// nothing to retry. It is complete with respect to what you have observed:
// controllers record an event before they write the status that shows it, and
// the Gateway before it responds, so once you have seen a status or a response,
// its event is in the trail.
//
// [Reader.Query] iterates over the stored events that match any filter, without
// a flush.
//
// # What a flush covers
//
// A flush proves something about the stores that it reached, so name all of
// them in [Options]: services by the URLs of their management ports, pods with
// package podflush, and a store of your own process with [InProcess].
//
// A flush of all pods of a workload (package podflush) covers what these pods
// have accepted, in memory and in their spools, including what an earlier
// process left in a spool that a pod has taken over. To cover the spool of a
// pod that is not running, it waits until all replicas that the workload
// declares are ready, and fails if a pod is missing, new, restarted or does not
// respond. It does not cover events that a process without a spool held in
// memory when it died, a workload that has been scaled down (its pods' volumes
// may hold events), and stores that nobody named.
//
// Package trailtest has Gomega matchers for trails.
package audittrail
