// Package audittest helps to test code that uses package audit, and sinks.
// docs/testing-with-audittest.md shows how, with code to copy.
//
//   - [NewStore] gives a store on a fake clock with a sink in memory. Its
//     cleanup fails the test if events are still pending or were refused.
//   - [MemorySink] is that sink. [FaultySink] stands before any sink. Both can
//     be told to fail, to fail after storing, to hang, to be slow, to refuse, to
//     write twice, and to mix these by chance ([Odds]); both keep count of
//     their writes and let a test wait for one.
//   - [Hooks] lets a test wait for what a store does inside, instead of sleeping.
//   - [HaveAudited], [HaveAuditedTimes] and [HaveAuditedInOrder] are Gomega
//     matchers over a list of events.
//   - [TestSink] is a conformance suite: every implementation of audit.Sink
//     must pass it.
package audittest
