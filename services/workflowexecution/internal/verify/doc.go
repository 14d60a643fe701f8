// Package verify observes whether an execution helped. It is the stage of the phase Verifying.
//
// A verification first waits until every instance of the request's signal has resolved, or the
// object that the instance is about is gone, at most for the resolve timeout. Then the
// stabilization begins, throughout which the workflow's condition must hold. Whatever begins to
// fire after the end of the execution makes it ineffective; repeats of what fired before change
// nothing.
//
// Everything that a decision needs is in the statuses of the execution and its request, so it
// is the same after a restart. Only the condition is looked at in intervals.
package verify
