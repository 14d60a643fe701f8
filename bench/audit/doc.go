// Command audit measures package audit against its bars: allocations, the rate
// of Record beside OpenTelemetry's log batch processor, what a flush costs, the
// spool beside plain append and fdatasync, and the memory of the pending events.
//
// It prints absolute figures and one line a bar (see package ratio), and exits
// with 1 when a bar was missed. The variable SCALE is small (the default) or full.
package main
