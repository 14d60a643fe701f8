// Package reconstruct rebuilds a RemediationRequest from its audit trail, and says what the trail does not tell.
//
// It reads the data of the events as docs/events.md describes it, so it works for every trail that Kubernaut wrote,
// also after the request, its namespace or its cluster is gone.
//
// An end that a signal prevented after its event was recorded is told apart by what follows: an event that says that the
// request is where it was. As long as nothing but signals follows, the request counts as ended.
package reconstruct
