package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
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
