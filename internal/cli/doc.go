// Package cli is the command line of the platform's programs: flags that are
// declared once and can also be given as environment variables or in a file,
// exit codes, and logging.
package cli
