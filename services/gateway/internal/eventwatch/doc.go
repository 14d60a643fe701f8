// Package eventwatch watches the events of the cluster and delivers them like a
// sender that repeats each delivery until it is accepted.
//
// One replica watches at a time, elected by a Lease: every replica could deliver
// every event, because a problem has one request, but each would count it. The
// position up to which everything was delivered is in another Lease, so that the
// next replica, or this one after a restart, goes on where it ended. Events that
// were deleted while no replica watched are missed; Kubernetes keeps them for an
// hour by default.
package eventwatch
