// Package app is WorkflowExecution as a program that can be embedded. Several may
// run in one process.
package app
