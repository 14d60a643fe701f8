// Package app is SignalProcessing as a program that can be embedded. Several may
// run in one process.
package app
