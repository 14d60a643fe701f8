// Package audittest helps to test code that uses package audit, and sinks.
//
//   - [NewStore] gives a store on a fake clock with a sink in memory. Its
//     cleanup fails the test if events are still owed or were refused.
//   - [MemorySink] can be told to fail, to hang, to fail after storing and to
//     refuse, and keeps count of its writes.
//   - [HaveAudited] is a Gomega matcher over a list of events.
//   - [TestSink] is a conformance suite: every implementation of audit.Sink
//     must pass it.
package audittest
