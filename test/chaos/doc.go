// Package chaos proves by kill -9 that no accepted event is lost and that none
// is stored twice. A scenario runs a program as a child process under load,
// kills it at random times, and starts it again on the same spool. At the end
// it flushes the last process and reads once what DataStorage has stored.
//
// An event counts as accepted when an outside observer has seen its effect: the
// response to a signal, the phase in a status, the line that a recorder has
// printed. The timing of the kills is random; the check at the end is not.
package chaos
