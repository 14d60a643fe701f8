// Package webhook is the Gateway's HTTP API: it takes what sources send and
// answers once every signal of it has its request and its audit events.
//
// A body is accepted as a whole or not at all: where a signal fails for a
// reason that passes, the answer is 503 with Retry-After, and the sender's
// retry finds what the first attempt has done. Only what can never succeed is
// refused with a 4xx, because Alertmanager drops a notification on it.
package webhook
