// Package guardrail keeps executions from doing harm: one execution at a time works on a
// target, and none starts where executions are paused.
package guardrail
