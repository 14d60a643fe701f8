// Package heartbeat knows the alerts that fire while all is well, and notices when
// an expected one stops.
//
// A heartbeat is never a problem, so it never creates a request. An expected
// heartbeat that stays away is one: the monitoring that sends it can report
// nothing else either. The [Monitor] then reports a signal of its own, and its end
// once the heartbeat is back.
//
// A Lease for each expected heartbeat holds what the replicas share: when it was
// seen, and since when it is lost. Senders deliver a heartbeat to any replica, so
// a replica that has not seen it for long reads the Lease before it reports a
// loss.
package heartbeat
