// Package occurrence writes what signals say about existing requests to their
// status: which instances fire, with which severities, and how many signals
// there were. A change of state is written before the sender gets its answer;
// plain duplicates are counted together.
package occurrence
