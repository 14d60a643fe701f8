// Package alertmanager is the adapter for senders of Prometheus alerts: [Parse]
// turns a body into a notification. It accepts the webhook of Alertmanager
// (version 4), the webhook of Grafana's alerting, whose version "1" carries the
// same alerts, and the array that Prometheus and vmalert send to the API v2 of
// an Alertmanager.
//
// A body is read as a stream. What stays in memory is the text of each usable
// alert; its signal is made from that when it is processed, because most
// senders put the fields that all alerts share behind them.
package alertmanager
