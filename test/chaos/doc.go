// Package chaos proves by kill -9 that nothing accepted is lost and nothing is
// stored twice. A scenario runs a program as a child process under load, kills
// it at random moments, starts it again on the same spool, and at the end
// flushes the last life and looks once at what DataStorage has.
//
// What counts as accepted is what somebody outside has seen: the answer to a
// signal, the phase in a status, the line that a recorder has printed. The
// moments of the kills are random, the verdict is not.
package chaos
