// Package processing moves SignalProcessings through their phases:
//
//	Pending → Enriching → Classifying → Categorizing → Completed
//	              └──────────────────────────────────→ Failed
//
// Each step does the work of its phase, records its audit events, and then writes the
// status that shows the step. The events behind any visible status have therefore been
// accepted. The write applies only to the version of the resource that the step is based
// on: after a conflict, a crash or a failed write the step is repeated with the same
// event ids. Steps follow each other without another read, because each write returns
// the resource as it is stored.
//
// Enrichment can fail and is retried a bounded number of times. Classification and
// categorization always reach a decision.
//
// When the source says a severity that it has not said before, a completed
// SignalProcessing evaluates its policies for that severity, too. The worst severity and
// the most urgent priority remain: they never fall. It does so in one step, with the
// context of the earlier enrichment: by the time a problem escalates, its pod is often
// gone, and with it the labels that tell the environment. A failed one begins anew.
package processing
