// Package webhook is the Gateway's HTTP API. It receives notifications, and
// responds once each of their signals has a request and its audit events.
//
// If a signal fails for a reason that may pass, the response to the whole body
// is 503 with Retry-After; the sender's retry finds the requests that the first
// attempt created. Only signals that can never be accepted are rejected with a
// 4xx, because Alertmanager drops a notification that gets one.
package webhook
