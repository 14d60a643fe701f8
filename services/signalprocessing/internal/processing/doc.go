// Package processing takes SignalProcessings through their phases:
//
//	Pending → Enriching → Classifying → Categorizing → Completed
//	              └──────────────────────────────────→ Failed
//
// A reconcile makes one step: it reads the resource from the API server (never
// from the cache, which may show a step that is already made), does the work of
// its phase, records the step's audit events, and only then writes the status
// that shows the step. So whoever sees a status can rely on its events having
// been accepted. The write holds for the resource version that was read: after
// a conflict, a crash or a refused write the step is made again, with the same
// event ids.
//
// Enrichment can fail and is tried again, a bounded number of times;
// classification and categorization always decide something.
package processing
