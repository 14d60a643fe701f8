// Package memory shares the memory of a process: a [Plan] divides it between
// uses, and a [Budget] divides one use between callers. A Budget may also divide
// other things than bytes, for instance connections.
package memory
