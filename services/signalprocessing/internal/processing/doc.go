// Package processing moves SignalProcessings through their phases:
//
//	Pending → Enriching → Classifying → Categorizing → Completed
//	              └──────────────────────────────────→ Failed
//
// Each reconcile performs one step: it reads the resource from the API server (not
// from the cache, which may be stale), does the work of the phase, records the
// step's audit events, and then writes the status that shows the step. The events
// behind any visible status have therefore been accepted. The write applies only to
// the resource version that was read: after a conflict, a crash or a failed write
// the step is repeated with the same event ids.
//
// Enrichment can fail and is retried a bounded number of times. Classification and
// categorization always reach a decision.
package processing
