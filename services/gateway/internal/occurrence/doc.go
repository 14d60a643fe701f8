// Package occurrence counts the signals of a request in its status, without one
// write for each of them.
package occurrence
