// Package audittest helps to test code that uses package audit, and sinks. It
// needs nothing but the standard testing package; Gomega matchers for what it
// lists are in kubernaut.ai/pkg/audittrail/trailtest.
// docs/testing-with-audittest.md shows how, with code to copy.
//
//   - [NewStore] returns a store on a fake clock with a sink in memory. Its
//     cleanup fails the test if events are pending, rejected or lost.
//   - [MemorySink] is that sink. [FaultySink] stands in front of any sink. Both
//     can be told to fail, to fail after storing, to hang, to be slow, to reject,
//     to write twice, and to mix these at random ([Odds]); both count their
//     writes and let a test wait for one.
//   - [Hooks] lets a test wait for what a store does inside, instead of sleeping.
//   - [TestSink] is a conformance suite: every implementation of audit.Sink
//     must pass it.
package audittest
