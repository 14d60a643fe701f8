// Package app is DataStorage as a part of any program: its options, and the
// life of the service from its first connection to its graceful stop. Several
// may run in one process.
package app
