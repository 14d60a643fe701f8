// Package control serves and calls the control listener of a service that
// records audit events: what its store holds, which events were rejected or
// lost and why, and what settles them.
//
// The listener asks nobody who they are. It is open on the loopback interface of
// the pod only and reached by port-forward, so that RBAC on pods/portforward
// guards it. It takes an acknowledgement only by the id of a record that
// DataStorage holds, which names the person who made it.
//
//	GET  /audit/state               counts, ages, and how the sink and the spool do
//	GET  /audit/rejections          rejected and lost events, with codes and reasons
//	GET  /audit/quarantine          rejected events that are kept, in pages
//	GET  /audit/quarantine/{id}     one of them, with its contents
//	POST /audit/quarantine/retry    accept rejected events again
//	POST /audit/acknowledgements    settle the events of an acknowledgement's record
package control
