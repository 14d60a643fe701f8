// Package audit records audit events and proves that they were stored.
//
// A [Store] accepts events with [Store.Record], sends them in batches to a
// [Sink], and answers [Store.Flush] with nil only when every event that was
// accepted before the call is stored. A flush is a proof, not a hint: no
// caller ever needs to sleep or to poll before it queries.
//
// # Terms
//
//   - An event is accepted when Record returned nil. From then on the store
//     owes it to the sink.
//   - It is stored when the sink acknowledged it.
//   - It is rejected when the sink refused it for good. It stays in quarantine,
//     and every flush reports it until [Store.Acknowledge] takes note of it.
//   - It is lost when the store was closed before it could be stored. That,
//     too, is reported and never nil.
//
// # Durability
//
// What an accepted event survives is chosen for the store, for a type of
// events or for one event ([WithDurability], [Store.RecordWith]):
//
//	Memory    Record returns when the event is buffered; it survives a dead sink
//	Spooled   when it is on disk; it survives kill -9 and the loss of power as well
//	Stored    when the sink has acknowledged it: for actions that must not happen unrecorded
//
// Spooled needs a disk: open a spool (package spool) and pass it with
// [WithSpool]. A store that opens the same directory after a crash sends what
// its predecessor owed. The directory must outlive the process, and its pod.
//
// # What a user can rely on
//
//   - A failing, slow or hanging sink keeps events owed; it never loses them,
//     never blocks Record past its context and never grows memory past the
//     bounds ([WithBounds]). At the bounds Record waits, refuses, or spills to
//     the spool ([WithFullPolicy]).
//   - One refused event never takes its batch with it: the others are stored,
//     and the refused one is kept in quarantine, with a spool on disk. After a
//     fix [Store.Retry] sends it again.
//   - Delivery is at least once; the event's id makes it exactly once in the
//     store. An id is assigned by Record (UUIDv7), or derived by the caller
//     from what the event means ([DerivedID]), so that a step that is repeated
//     after a crash records the same event again.
//   - Events that Record stamps carry strictly later microseconds in the order
//     of acceptance. Several batches are in flight at a time ([WithInFlight]),
//     but never two with events of one correlation id: what is stored of it is
//     always the beginning of what was accepted.
//   - When Record cannot know whether an event will be stored, because its
//     context ended while the disk or the sink was at work, it says so
//     ([ErrInDoubt]). Recording the same id again is safe.
//
// # Tests
//
// Nothing in a test has to wait for time to pass: flush, then look. Package
// audittest has a store on a fake clock, sinks that misbehave as told, matchers,
// and [WithObserver]'s moments to wait for.
//
// # Metrics
//
// [WithRegisterer] registers them; all of them start with audit_.
//
//	accepted_total                  counter    events that Record accepted
//	recovered_total                 counter    owed events that the spool had from an earlier life
//	stored_total                    counter    events that the sink acknowledged
//	duplicates_total                counter    acknowledged events that the sink had stored before
//	rejected_total                  counter    events that the sink refused for good
//	lost_total                      counter    events that will not be stored: owed when the store gave up, or damaged in the spool
//	retries_total                   counter    failed batch writes that were, or will be, repeated
//	spilled_total                   counter    events kept in the spool alone, because memory was full or older ones were there
//	pending_events                     gauge      events accepted, neither stored nor rejected yet
//	pending_bytes                      gauge      their size, in memory or in the spool
//	oldest_pending_age_seconds         gauge      how long the oldest of them has waited
//	spilled_events                  gauge      owed events that are in the spool only
//	spool_bytes                     gauge      size of the spool on disk
//	unacknowledged_events           gauge      rejected and lost events that nobody acknowledged
//	unacknowledged_lost_events      gauge      lost events that nobody acknowledged
//	batches_in_flight               gauge      batches that are being written
//	sink_up                         gauge      0 while the last write failed, else 1
//	flushes_total{result}           counter    flushes by result: stored, refused, lost, pending
//	flush_duration_seconds          histogram  from the call to the answer
//	batch_events                    histogram  events of a batch write
//	write_duration_seconds          histogram  duration of a batch write
//	spool_group_events              histogram  events that shared an fsync of the spool
//	spool_append_duration_seconds   histogram  duration of an append to the spool, with its fsync
//
// # Traces and logs
//
// [WithTracer] makes a span audit.write of each batch write, of kind client,
// with the attributes audit.batch.events and audit.batch.duplicates, and an
// error status without the sink's words, which may quote an event. [WithLogger]
// logs one line for each change of state, and none for an event:
//
//	warn   audit sink down, events stay pending
//	info   audit sink back
//	warn   audit sink refused events, they are in quarantine
//	error  audit spool fails
//	info   audit spool works again
//	info   audit spool has events of an earlier life
//	warn   audit spool was damaged, the rest is recovered
//	error  audit spool is damaged, events are lost
//	warn   audit store closed before everything was stored, the rest is in the spool
//	error  audit store closed before everything was stored
package audit
