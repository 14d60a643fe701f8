package app

import (
	"fmt"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"kubernaut.ai/internal/mustgather/redact"
	"kubernaut.ai/services/workflowexecution/internal/approval"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/execute"
	"kubernaut.ai/services/workflowexecution/internal/guardrail"
)

// newRails makes the guard rails.
func (c *controllers) newRails() *guardrail.GuardRails {
	o, live := &c.app.options, c.manager.GetAPIReader()
	return &guardrail.GuardRails{
		Options: guardrail.Options{PerNamespace: o.MaxPerNamespace, PerCluster: o.MaxPerCluster, MaxIneffective: o.MaxIneffective},
		Leases:  &guardrail.Leases{Live: live, Writer: c.manager.GetClient(), Namespace: o.PlatformNamespace, Clock: o.Clock, Log: o.Log.Named("leases")},
		Reader:  live, Audit: c.store, WorkflowsNamespace: o.WorkflowsNamespace, Now: o.Clock,
	}
}

// deciding makes the stage that decides on proposals.
func (c *controllers) deciding(p *proposals) *approval.Stage {
	o, live := &c.app.options, c.manager.GetAPIReader()
	return approval.New(approval.Parts{
		Live: live, Guard: p.guard,
		Plans: p.planner, WorkflowDigest: catalog.Digest, Rails: p.rails, Audit: c.store,
		Namespace: o.WorkflowsNamespace, FourEyes: o.FourEyes, Clock: o.Clock,
	})
}

// executing makes the stage that executes what was approved.
func (c *controllers) executing(p *proposals, decisions execute.Decisions) (*execute.Stage, error) {
	o, live := &c.app.options, c.manager.GetAPIReader()
	core, err := corev1client.NewForConfig(c.app.rest)
	if err != nil {
		return nil, fmt.Errorf("logs of Jobs: %w", err)
	}
	redactor, err := redact.New()
	if err != nil {
		return nil, fmt.Errorf("logs of Jobs: %w", err)
	}
	return execute.New(execute.Parts{
		Live: live, Writer: c.manager.GetClient(), Accounts: p.accounts, Planner: p.planner, Rails: p.rails,
		Pause: &guardrail.Pause{Live: live}, Decisions: decisions, Logs: &execute.PodLogs{Core: core, Redact: redactor.Text},
		Audit: c.store, Namespace: o.WorkflowsNamespace, Clock: o.Clock, Log: o.Log.Named("execution"),
	}), nil
}
