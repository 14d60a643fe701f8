// Package trailtest has Gomega matchers for audit trails.
//
// The matchers take events as a program records them (audit.Event, as
// audittest.MemorySink lists them) and as a query returns them
// (datastorage.StoredEvent, as audittrail.Reader reads them):
//
//	Expect(sink.EventsOf(order)).To(trailtest.HaveAudited("shop.order.shipped"))
//	Expect(trail).To(trailtest.HaveAuditedInOrder("shop.order.placed",
//		trailtest.BeEvent("shop.order.shipped", trailtest.WithData("carrier.name", "post"))))
//
// [HaveAudited], [HaveAuditedTimes] and [HaveAuditedInOrder] match a list of
// events. [BeEvent] and the matchers whose names begin with With match one
// event; any other Gomega matcher of an event can stand beside them, for
// example HaveField("RecordedBy", ...) for a stored event.
//
// A failure lists the trail and says what differs in the event that comes
// nearest. Flush before you read, and read once: an event that is missing then
// was not recorded.
package trailtest
