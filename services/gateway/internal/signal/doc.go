// Package signal understands what the sources of the Gateway send.
//
// A source's body becomes a [Notification]: its signals as the specs of
// remediation requests, checked and bounded. Nothing here talks to a cluster,
// so that every intake (a webhook, an event, a CloudEvent) is a pure function
// from bytes to a notification.
package signal
