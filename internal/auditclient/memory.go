package auditclient

import "kubernaut.ai/pkg/audit"

// Memory is the most memory that an audit store with the default bounds takes, in
// bytes: the events that wait, and for each batch in flight its events, their
// text, and its compressed form.
const Memory int64 = audit.DefaultMaxBytes + 3*audit.DefaultInFlight*audit.DefaultBatchBytes
