// Package spools measures what a spool of audit events could be built on:
// durable groups of events, one group a commit, and reading all of them back.
// docs/decisions/0004-spool.md has the result.
//
//	go test -run '^$' -bench . ./spools
package spools
