// Package otellog exports stored audit events as OpenTelemetry log records, for
// the tools that read logs. It is a module of its own, so that the library does
// not depend on OpenTelemetry's log API.
//
// A [Sink] wraps the sink of a store and emits a record for each event once it is
// stored. A record is a copy for convenience: losing one loses no event, and no
// failure of the exporter fails a Write. What proves a trail is the store's flush
// and the sink behind this one, never the records.
//
// An event that is stored again, after an answer was lost or a process died, is
// emitted again: its log.record.uid is the event's id, by which a backend can
// deduplicate.
package otellog
