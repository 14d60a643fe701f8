// Package supervise gives directories and child processes an owner, so that
// neither outlives it.
//
// A [Dir] is locked by its owner for as long as the owner lives: the kernel
// releases the lock when the owner ends, however it ends. Children that
// [Start] starts for a directory are recorded in it, run in a process group of
// their own (a terminal's Ctrl-C reaches the owner alone, which then stops them
// in order), and on Linux are signalled by the kernel when the owner dies.
// What a killed owner left nevertheless, processes first and then temporary
// directories, is removed the next time any program takes a temporary
// directory, or opens the same persistent one.
package supervise
