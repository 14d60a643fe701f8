// Package body reads the bodies of notifications within bounds: a [Reader]
// takes memory for what arrives, and counts what an adapter keeps of it. An
// upload holds only what it has sent.
package body
