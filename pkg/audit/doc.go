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
// # What a user can rely on
//
//   - A failing, slow or hanging sink keeps events owed; it never loses them,
//     never blocks Record past its context and never grows memory past the
//     bounds ([WithBounds], [WithFullPolicy]).
//   - One refused event never takes its batch with it: the others are stored.
//   - Delivery is at least once; the event's id makes it exactly once in the
//     store. An id is assigned by Record (UUIDv7), or derived by the caller
//     from what the event means ([DerivedID]), so that a step that is repeated
//     after a crash records the same event again.
//   - Events that Record stamps carry strictly later microseconds in the order
//     of acceptance.
//
// # Metrics
//
// [WithRegisterer] registers them; all of them start with audit_.
//
//	accepted_total            counter    events that Record accepted
//	stored_total              counter    events that the sink acknowledged
//	duplicates_total          counter    acknowledged events that the sink had stored before
//	rejected_total            counter    events that the sink refused for good
//	lost_total                counter    events that were still owed when the store gave up at Close
//	retries_total             counter    failed batch writes that were, or will be, repeated
//	owed_events               gauge      events accepted, neither stored nor rejected yet
//	owed_bytes                gauge      their size in memory
//	oldest_owed_age_seconds   gauge      how long the oldest of them has waited
//	unacknowledged_events     gauge      rejected and lost events that nobody acknowledged
//	sink_up                   gauge      0 while the last write failed, else 1
//	flushes_total{result}     counter    flushes by result: stored, refused, lost, pending
//	flush_duration_seconds    histogram  from the call to the answer
//	batch_events              histogram  events of a batch write
//	write_duration_seconds    histogram  duration of a batch write
package audit
