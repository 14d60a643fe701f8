// Package app is the SignalProcessing service as a value: New checks its
// options, Run runs it until its context ends. Programs and tests run as many
// of them in one process as they like.
package app
