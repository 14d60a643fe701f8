// Package alertmanager is the adapter for Alertmanager's webhook: [Parse] turns
// a body into a notification.
package alertmanager
