package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/pkg/audittrail"
)

// linef writes one line; a terminal that went away is no concern of the demo.
// It passes the format on as it is, so that go vet checks its callers.
func linef(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format, args...)
	_, _ = fmt.Fprintln(out)
}

// safe is args whose texts control no terminal: senders chose many of them.
func safe(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = printable.Line(text)
		}
	}
	return args
}

func printRequest(out io.Writer, r *v1alpha1.RemediationRequest, sp *v1alpha1.SignalProcessing) {
	s := sp.Status
	linef(out, "\nRemediation request %s/%s", printable.Line(r.Namespace), printable.Line(r.Name))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		linef(table, "  %s\t%s", name, fmt.Sprintf(format, safe(args)...))
	}
	row("phase", "%s", r.Status.Phase)
	if waits := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionManualReview); waits != nil && waits.Status == metav1.ConditionTrue {
		row("waits for", "a person (%s): %s", waits.Reason, waits.Message)
	}
	row("signal", "%s on %s %s/%s", r.Spec.SignalName, r.Spec.TargetResource.Kind, r.Spec.TargetResource.Namespace, r.Spec.TargetResource.Name)
	if s.Context != nil {
		row("owners", "%s", owners(s.Context))
	}
	if s.Severity != nil {
		row("severity", "%s\t(%s, %d%% sure; the alert said %q)", s.Severity.Value, s.Severity.Source, s.Severity.ConfidencePercent, r.Spec.Severity)
	}
	if s.Environment != nil {
		row("environment", "%s\t(%s, %d%% sure)", s.Environment.Value, s.Environment.Source, s.Environment.ConfidencePercent)
	}
	if s.Priority != nil {
		row("priority", "%s\t(%s, %d%% sure)", s.Priority.Value, s.Priority.Source, s.Priority.ConfidencePercent)
	}
	if b := s.Business; b != nil {
		row("business", "unit %s, owner %s, criticality %s, SLA %s", orNone(b.Unit), orNone(b.ServiceOwner), b.Criticality, orNone(b.SLA))
	}
	if s.Policy != nil {
		row("policies", "%s, SHA-256 %.12s…", s.Policy.Origin, s.Policy.SHA256)
	}
	_ = table.Flush()
}

func owners(c *v1alpha1.EnrichedContext) string {
	if c.Degraded {
		return "unknown (degraded: " + c.DegradedReason + ")"
	}
	if len(c.OwnerChain) == 0 {
		return "none"
	}
	names := make([]string, len(c.OwnerChain))
	for i, o := range c.OwnerChain {
		names[i] = o.Kind + " " + o.Name
	}
	return strings.Join(names, " ◂ ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// printTrail prints the story of a trail, and apart from it the events of
// recorders that may not write such events, or that could not be checked.
func printTrail(out io.Writer, correlationID string, events []datastorage.StoredEvent) {
	story, apart := audittrail.Story(events)
	linef(out, "\nAudit trail of %s, %d events, oldest first (UTC)", printable.Line(correlationID), len(story))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	linef(table, "  TIME\tEVENT\tOUTCOME\tWHAT")
	for i := range story {
		e := &story[i]
		linef(table, "  %s\t%s\t%s\t%s", e.EventTimestamp.UTC().Format(timeOfDay), printable.Line(e.EventType), e.EventOutcome, printable.Line(summary(e)))
	}
	_ = table.Flush()
	if len(apart) == 0 {
		return
	}
	linef(out, "\nNot a part of it: %d events of recorders without the permission for their type", len(apart))
	table = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	linef(table, "  TIME\tEVENT\tRECORDED BY\tPERMISSION")
	for i := range apart {
		e := &apart[i]
		permission := "missing"
		if e.RecorderUnchecked {
			permission = "could not be checked"
		}
		by := ""
		if e.RecordedBy != nil {
			by = *e.RecordedBy
		}
		linef(table, "  %s\t%s\t%s\t%s", e.EventTimestamp.UTC().Format(timeOfDay), printable.Line(e.EventType), printable.Line(orNone(by)), permission)
	}
	_ = table.Flush()
}

// storyOf is what a trail tells.
func storyOf(events []datastorage.StoredEvent) []datastorage.StoredEvent {
	story, _ := audittrail.Story(events)
	return story
}

// timeOfDay is a time in a trail.
const timeOfDay = "15:04:05.000000"
