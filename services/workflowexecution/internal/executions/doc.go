// Package executions takes each WorkflowExecution through its phases. It reads the execution
// live, has the stage of its phase look at the world once, and writes the status that the stage
// leaves, on condition that nobody has written the execution since it was read.
package executions
