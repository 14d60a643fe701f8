package requests

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
)

// account says with which rights a proposal would be executed. The execution does not name
// the account: its workflow does, which not everybody may read.
func (c *cluster) account(ctx context.Context, wfe *v1alpha1.WorkflowExecution, namespace string) string {
	workflow := &v1alpha1.RemediationWorkflow{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: wfe.Spec.Workflow.Name}, workflow); err != nil {
		return fmt.Sprintf("unknown, because the workflow could not be read: %v", err)
	}
	name := fmt.Sprintf("system:serviceaccount:%s:%s", namespace, workflow.Spec.ServiceAccountName)
	if workflow.Status.SHA256 != "" && workflow.Status.SHA256 != wfe.Spec.Workflow.SHA256 {
		name += " (the workflow was changed after the proposal, which will be invalidated)"
	}
	return name
}

// showProposal prints what is decided about.
func showProposal(out io.Writer, wfe *v1alpha1.WorkflowExecution, account string) error {
	spec := &wfe.Spec
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, text string) {
		if text != "" {
			_, _ = fmt.Fprintf(table, "%s\t%s\n", name, printable.Line(text)) // Flush reports the error
		}
	}
	row("Execution", wfe.Namespace+"/"+wfe.Name)
	row("Request", spec.Request.Name)
	row("Target", targetOf(wfe))
	row("Workflow", spec.Workflow.Name)
	row("Risk", string(spec.Workflow.Risk))
	row("Account", account)
	parameters := make([]string, len(spec.Parameters))
	for i, p := range spec.Parameters {
		parameters[i] = fmt.Sprintf("%s=%q", p.Name, p.Value)
	}
	row("Parameters", strings.Join(parameters, " "))
	row("Selected", spec.Reason)
	row("Approval", fmt.Sprintf("%s: %s", spec.Approval, spec.ApprovalReason))
	row("Rollback of", spec.RollbackOf)
	row("Runbook", spec.RunbookURL)
	row("Expires", spec.ExpiresAt.UTC().Format(time.RFC3339))
	row("Plan", "SHA-256 "+spec.PlanDigest)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the proposal: %w", err)
	}
	return writef(out, "\n%s\n\n", strings.TrimRight(printable.Text(spec.Change), "\n"))
}

func targetOf(wfe *v1alpha1.WorkflowExecution) string {
	t := &wfe.Spec.Target
	name := t.Name
	if t.Namespace != "" {
		name = t.Namespace + "/" + t.Name
	}
	return t.Kind + " " + name
}
