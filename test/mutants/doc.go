// Command mutants breaks promises of the code on purpose, one at a time, and
// expects the test that names the promise to fail: so the tests are known to
// notice what they are there for.
//
// A mutant is identified by a function and by what the function does: a
// sequence of Go tokens within it, whatever the formatting, the comments and
// the code around it. The tables are in audit.go (the promises F1 to F13 of
// docs/audit-contract.md) and dedup.go (the Gateway's deduplication protocol).
// Nothing is ever applied to the work tree: each mutant is compiled through an
// overlay (go help build, -overlay).
//
//	go run ./test/mutants              every mutant
//	go run ./test/mutants 'F1 *'       those whose name matches the glob
//
// To add one, break the promise in your work tree with as few tokens as
// possible, see the test fail, take the change back and describe it in the
// table. If no test fails, the test is too weak or the promise still holds. A
// mutant that no longer applies names its function: break the same promise in
// the new code, or delete the mutant if that is impossible. Each promise keeps
// at least one.
package main
