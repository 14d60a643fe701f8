// Package execute carries out approved executions: the stage of the phases Approved and
// Executing.
//
// Each look at an execution begins at the Lease of the target's top owner, and goes on in
// one order: the execution itself (is it unchanged?), pause, decision, workflow, target,
// mark, write. Only the write touches the target. It applies to the target as it was read
// after the Lease was taken, and marks it with the execution's UID. So it is made at most
// once, by whatever process: a second one finds the mark, or is refused.
//
// A refused write is not repeated in place: the next look begins at the Lease again. An
// execution whose target has neither the mark nor the state that was approved ends as
// Inconclusive, and a person decides.
package execute
