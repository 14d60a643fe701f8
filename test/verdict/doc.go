// Package verdict judges what is left of an audit trail after services were
// killed or restarted under load: nothing that somebody has seen may be lost,
// and nothing may be there twice.
//
// What counts as accepted is what somebody outside has seen: the answer to a
// signal, the phase in a status.
package verdict
