// Package spool keeps audit events on disk until they are settled, and
// rejected events until somebody acknowledges them. [Spool] is the
// audit.Spool to use.
//
//	events, err := spool.Open("/var/lib/gateway/spool")
//	store, err := audit.New(sink, audit.WithSpool(events), audit.WithDurability(audit.Spooled))
//
// # What is on disk
//
// The directory belongs to one process at a time, which holds a lock on the
// file "lock" in it; the lock goes away with the process. The events are in a
// log of segment files (*.wal), in the format of hashicorp/raft-wal: an Append
// is one write and one fsync. Each event is an entry of its own, with a CRC-32C
// and the position up to which events were settled when it was written: what is
// settled needs no write of its own. The events are CBOR (RFC 8949). Segments
// of which everything is settled are removed. A segment is written by one
// process only: whoever opens the directory again, and whoever fails to write,
// goes on in a new segment, because what fsync left behind in the old one is
// not known. Where segments overlap the newer one is right.
//
// Rejected events are JSON files in the folder "quarantine", for people to read.
// Each has the position that its event has in the log, if it is there: so the
// log is done with it. What was acknowledged since is in notes.txt beside them, a
// line each, as are the losses that are known already; a line goes when the log
// has moved on, an acknowledged event when most of its file is acknowledged.
//
// # What a medium can lose
//
// Open reads everything once. A record whose bytes changed costs the event in it
// and no other, wherever it is; [audit.SpoolState] counts what is gone. Bytes
// behind the last whole record of the newest segment are what a crash leaves of
// an event that was never accepted, or the damaged rest of one that was: they
// are counted as bytes, because nobody can tell.
//
// What a medium does not read back at all costs the events in that place. Such a
// segment is not removed when everything else in it is settled, but renamed to
// *.damaged, for people; it is removed when the spool needs its room.
package spool
