// Package maintain does what the tables need while events are stored and found:
// it makes partitions, moves strays into them, completes events of programs that
// knew less, builds indexes of complete partitions, and keeps the counts for
// charts. Everything happens in slices, each a transaction that either happened or
// did not, so that a run may be killed anywhere and the next one continues. A
// lease lets one run work at a time.
package maintain
