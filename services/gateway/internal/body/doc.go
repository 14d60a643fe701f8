// Package body reads the bodies of notifications within bounds: a [Reader]
// charges what arrives to a [Budget] that all requests of the process share, and
// counts what an adapter keeps of it. An upload holds only what it has sent.
package body
