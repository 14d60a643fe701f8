// Package wire measures the ways to send a batch to DataStorage: as a JSON
// array or as lines, plain or compressed; and the ways to check an event's
// data. It holds benchmarks only. The result is docs/decisions/0005-wire-form.md.
package wire
