// Package spool persists audit events until they are terminal (stored, rejected
// or lost), and rejected events until somebody acknowledges them. [Spool] is the
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
// is one write and one fsync. Each event is a separate entry, with a CRC-32C
// and the position up to which events were terminal when it was written: what is
// terminal needs no write of its own. The events are CBOR (RFC 8949). Segments
// of which everything is terminal are removed. A segment is written by one
// process only: whoever opens the directory again, and whoever fails to write,
// goes on in a new segment, because what fsync left behind in the old one is
// not known. Where segments overlap the newer one is right.
//
// Rejected events are JSON files in the folder "quarantine", for people to read.
// Each event has its position in the log, if it is there, which makes it terminal
// for the log. The file notes.txt beside them has a line for each event that was
// acknowledged since, and for each loss that was reported. A line is dropped when
// the log has moved past it; an acknowledged event is dropped from its file when
// most of that is acknowledged.
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
// segment is not removed when everything else in it is terminal, but renamed to
// *.damaged, for people; it is removed when the spool needs its room.
package spool
