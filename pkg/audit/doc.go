// Package audit records audit events and proves that they were stored.
//
// A [Store] accepts events with [Store.Record], sends them in batches to a
// [Sink], and answers [Store.Flush] with nil only when every event that was
// accepted before the call is stored. A flush is a proof, not a hint: no
// caller ever needs to sleep or to poll before it queries.
//
// The sink for DataStorage is package httpsink, and flushhttp serves a flush over
// HTTP. docs/recording.md builds a whole program.
//
// # Terms
//
//   - An event is accepted when Record returned nil. From then on it is pending.
//   - It is stored when the sink acknowledged it.
//   - It is rejected when the sink rejected it for good. It stays in quarantine,
//     and every flush reports it until [Store.Acknowledge] takes note of it.
//   - It is lost when the store was closed before it could be stored, or when
//     the disk damaged it. That, too, is reported and never nil.
//   - Stored, rejected and lost events are terminal.
//   - A pending event is stalled while the sink does not take it, although it takes
//     others: a permission is missing, or a proxy refuses it by its size. The store
//     tries it again, and flushes name it ([FlushError.Stalled]).
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
// was pending in its predecessor. The directory must outlive the process, and
// its pod. [FlushError.Persisted] tells a Close that left events there from a loss.
//
// # What a user can rely on
//
//   - A failing, slow or hanging sink keeps events pending; it never loses them,
//     never blocks Record past its context and never grows memory past the
//     bounds ([WithBounds]). At the bounds Record waits, refuses, or spills to
//     the spool ([WithFullPolicy]).
//   - One rejected event never takes its batch with it: the others are stored,
//     and the rejected one is in quarantine, on disk if there is a spool. After a
//     fix, [Store.Retry] sends it again.
//   - Delivery is at least once; the event's id makes it exactly once in the
//     store. An id is assigned by Record (UUIDv7), or derived by the caller
//     from what the event means ([DerivedID]), so that a step that is repeated
//     after a crash records the same event again.
//   - Events that Record stamps carry strictly later microseconds in the order
//     of acceptance. Several batches are in flight at a time ([WithInFlight]),
//     but never two with events of one correlation id: what is stored of it is
//     always the beginning of what was accepted, apart from rejected and stalled
//     events, for which later ones do not wait.
//   - When Record cannot know whether an event will be stored, because its
//     context ended while the disk or the sink was at work, it says so
//     ([ErrInDoubt]). Recording the same id again is safe.
//
// # Tests
//
// Nothing in a test has to wait for time to pass: flush, then look. Package
// audittest has a store on a fake clock, sinks that misbehave as told, matchers,
// and hooks to wait for ([WithHook]).
//
// # Metrics
//
// [WithRegisterer] registers them; all of them start with audit_.
//
//	accepted_total                  counter    events that Record accepted
//	refused_total{reason}           counter    events that Record did not accept, or left in doubt: invalid, full, closed, canceled, in_doubt, other
//	recovered_total                 counter    pending events that the spool had from an earlier process
//	stored_total                    counter    events that the sink acknowledged
//	duplicates_total                counter    acknowledged events that the sink had stored before
//	rejected_total                  counter    events that the sink rejected for good
//	lost_total                      counter    events that will not be stored: pending when the store gave up, or damaged in the spool
//	retries_total                   counter    failed batch writes that were, or will be, repeated
//	spilled_total                   counter    events put into the spool only, because memory was full or older ones were there
//	pending_events                  gauge      events accepted, neither stored nor rejected yet
//	pending_bytes                   gauge      their size, in memory or in the spool
//	oldest_pending_age_seconds      gauge      how long the oldest of them has waited
//	spilled_events                  gauge      pending events that are in the spool only
//	stalled_events{reason}          gauge      pending events that the sink does not take for now: forbidden, too_large
//	batch_limit_bytes               gauge      size of a batch that the way to the sink is known to take, 0 if no limit is known
//	spool_bytes                     gauge      size of the spool on disk
//	spool_max_bytes                 gauge      its bound
//	spool_up                        gauge      0 while the spool, or its quarantine, is full or fails, else 1
//	unacknowledged_events           gauge      rejected and lost events that nobody acknowledged
//	unacknowledged_lost_events      gauge      lost events that nobody acknowledged
//	batches_in_flight               gauge      batches that are being written
//	sink_up                         gauge      0 while the last write failed, else 1
//	flushes_total{result}           counter    flushes by result: stored, rejected, lost, pending
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
// logs changes of state; of single events only rejections and stalls, within a bound:
//
//	warn   audit sink down, events stay pending
//	warn   audit sink fails in another way
//	warn   audit sink still down
//	info   audit sink back
//	warn   audit batches are too large for a proxy on the way to the sink, smaller ones are sent: raise its limit of request bodies
//	info   audit batches may be as large as configured again
//	warn   audit event is stalled: the sink does not take it, others are sent
//	warn   audit events are stalled: the sink does not take them, others are sent
//	info   audit events are no longer stalled
//	warn   audit sink rejected an event, it is in quarantine
//	warn   audit sink rejected more events, they are in quarantine
//	warn   audit quarantine has rejected events that nobody acknowledged
//	warn   audit quarantine keeps events although they are stored
//	error  audit quarantine takes no events, rejected ones stay pending
//	info   audit quarantine takes events again
//	warn   audit spool is full, events are accepted again when the sink has stored older ones or the spool may grow
//	error  audit spool fails
//	info   audit spool works again
//	info   audit spool has events of an earlier process
//	warn   audit spool was damaged, no accepted event is known to be lost
//	error  audit spool was damaged, events are lost
//	error  audit spool is damaged, events are lost
//	error  audit events were lost in an earlier process, and nobody acknowledged that
//	warn   audit store closed before everything was stored, the rest is in the spool
//	error  audit store closed before everything was stored
//
// The lines about a sink that is down have the attributes kind, in the words of
// [SinkState], and down_for; those about a rejected or stalled event have event_id,
// event_type, correlation_id, code and reason.
package audit
