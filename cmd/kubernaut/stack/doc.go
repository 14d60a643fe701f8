// Package stack runs the whole platform on one machine, in one process: a
// PostgreSQL server and a control plane that it finds or provides, and the
// three services with defaults for one machine.
package stack
