package app

import (
	"fmt"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/mustgather/redact"
	"kubernaut.ai/services/workflowexecution/internal/approval"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/execute"
	"kubernaut.ai/services/workflowexecution/internal/guardrail"
	"kubernaut.ai/services/workflowexecution/internal/pauses"
	"kubernaut.ai/services/workflowexecution/internal/reminder"
)

// newRails makes the guard rails.
func (c *controllers) newRails() *guardrail.GuardRails {
	o, live := &c.app.options, c.manager.GetAPIReader()
	return &guardrail.GuardRails{
		Options: guardrail.Options{PerNamespace: o.MaxPerNamespace, PerCluster: o.MaxPerCluster, MaxIneffective: o.MaxIneffective},
		Leases:  &guardrail.Leases{Live: live, Writer: c.manager.GetClient(), Namespace: o.PlatformNamespace, Clock: o.Clock, Log: o.Log.Named("leases")},
		Reader:  live, Cached: c.manager.GetCache(), Audit: c.store, WorkflowsNamespace: o.WorkflowsNamespace, Now: o.Clock,
	}
}

// deciding makes the stage that decides on proposals.
func (c *controllers) deciding(p *proposals) (*approval.Stage, error) {
	o, live := &c.app.options, c.manager.GetAPIReader()
	reminding, err := c.reminding()
	if err != nil {
		return nil, err
	}
	watch, err := approval.NewWatch(p.guard, o.Clock, o.Log.Named("decisions"), c.app.registry)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	if err := c.manager.Add(manager.RunnableFunc(watch.Run)); err != nil {
		return nil, fmt.Errorf("decisions: %w", err)
	}
	return approval.New(approval.Parts{
		Live: live, Guard: p.guard,
		Plans: p.planner, WorkflowDigest: catalog.Digest, Rails: p.rails, Reminder: reminding, Audit: c.store,
		Namespace: o.WorkflowsNamespace, FourEyes: o.FourEyes, Clock: o.Clock,
	}), nil
}

// reminding makes what reminds people of proposals, and adds what posts its alerts.
func (c *controllers) reminding() (*reminder.Reminder, error) {
	o, log := &c.app.options, c.app.options.Log.Named("reminder")
	told, err := reminder.NewAlertmanager(o.Alertmanager, buildinfo.UserAgent(program), log, c.app.registry)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed
	}
	if err := c.manager.Add(manager.RunnableFunc(told.Run)); err != nil {
		return nil, fmt.Errorf("reminders: %w", err)
	}
	return reminder.New(c.manager.GetEventRecorder(eventSource), told, o.Clock, log, c.app.registry) //nolint:wrapcheck // says what failed
}

// registerPauses adds the controllers that record who paused executions.
func (c *controllers) registerPauses() error {
	o := &c.app.options
	return pauses.New(pauses.Parts{ //nolint:wrapcheck // of this module
		Live: c.manager.GetAPIReader(), Cached: c.manager.GetCache(), Writer: c.manager.GetClient(), Audit: c.store,
		Log: o.Log.Named("pause"), Namespace: o.PlatformNamespace, Namespaces: o.WatchNamespaces,
	}).Register(c.manager)
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
