package app

import (
	"fmt"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/execute"
	"kubernaut.ai/services/workflowexecution/internal/executions"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
)

// register adds the controllers to the manager.
func (c *controllers) register() error {
	o := &c.app.options
	counted, err := metrics.New(c.app.registry)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	c.metrics = counted
	if err := c.app.registry.Register(metrics.NewWaiting(c.manager.GetCache(), o.Clock)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := c.registerCatalog(); err != nil {
		return err
	}
	proposing, err := c.newProposals()
	if err != nil {
		return err
	}
	stages, cleaner, err := c.stages(proposing)
	if err != nil {
		return err
	}
	advanced, err := executions.New(executions.Parts{
		Live:        c.manager.GetAPIReader(),
		Cached:      c.manager.GetCache(),
		Writer:      c.manager.GetClient(),
		Stages:      stages,
		Cleaner:     cleaner,
		Metrics:     c.metrics,
		Log:         o.Log.Named("execution"),
		Concurrency: o.Concurrency,
	})
	if err != nil {
		return fmt.Errorf("executions: %w", err)
	}
	if err := advanced.Register(c.manager); err != nil {
		return err //nolint:wrapcheck // of this module
	}
	if err := c.registerRequests(proposing.selector); err != nil {
		return err
	}
	return c.registerPauses()
}

// stages are the stages of executions, by phase, and what removes the Jobs of executions.
func (c *controllers) stages(p *proposals) (map[v1alpha1.ExecutionPhase]executions.Stage, executions.Cleaner, error) {
	verifying, err := c.verifying(p.selector)
	if err != nil {
		return nil, nil, err
	}
	deciding, err := c.deciding(p)
	if err != nil {
		return nil, nil, err
	}
	if err := c.manager.Add(p.rails.Leases); err != nil {
		return nil, nil, fmt.Errorf("leases: %w", err)
	}
	executing, err := c.executing(p, deciding)
	if err != nil {
		return nil, nil, err
	}
	return map[v1alpha1.ExecutionPhase]executions.Stage{
		v1alpha1.ExecutionProposed:  deciding,
		v1alpha1.ExecutionApproved:  executing,
		v1alpha1.ExecutionExecuting: executing,
		v1alpha1.ExecutionVerifying: verifying,
	}, executing, nil
}

// The stage that creates Jobs deletes them.
var _ executions.Cleaner = (*execute.Stage)(nil)
