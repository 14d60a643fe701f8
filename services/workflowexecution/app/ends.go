package app

import (
	"fmt"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/resolve"
	"kubernaut.ai/services/workflowexecution/internal/verify"
)

// WorkflowDigest is the hex SHA-256 of a workflow's spec, by which an execution refers to it.
func WorkflowDigest(spec *v1alpha1.RemediationWorkflowSpec) (string, error) {
	return catalog.Digest(spec) //nolint:wrapcheck // of this module
}

// workflows is the catalog as a verification needs it.
type workflows struct{}

func (workflows) Digest(spec *v1alpha1.RemediationWorkflowSpec) (string, error) {
	return catalog.Digest(spec) //nolint:wrapcheck // of this module
}

func (workflows) Condition(expression string) (verify.Condition, error) {
	return catalog.CompileCondition(expression) //nolint:wrapcheck // of this module
}

// verifying makes the stage that observes whether an execution helped.
func (c *controllers) verifying(proposer verify.Proposer) (*verify.Stage, error) {
	o := &c.app.options
	stage, err := verify.New(verify.Parts{
		Live: c.manager.GetAPIReader(), Audit: c.store, Catalog: workflows{}, Proposer: proposer, Clock: o.Clock, Log: o.Log.Named("verification"),
	}, verify.Options{
		Namespace: o.WorkflowsNamespace, ResolveTimeout: o.ResolveTimeout, GroupInterval: o.GroupInterval, StaleAfter: o.StaleAfter,
	})
	if err != nil {
		return nil, fmt.Errorf("verification: %w", err)
	}
	return stage, nil
}

// ends makes what ends requests whose signal has resolved.
func (c *controllers) ends() (*resolve.Resolver, error) {
	o := &c.app.options
	counted, err := resolve.NewMetrics(c.app.registry)
	if err != nil {
		return nil, fmt.Errorf("ends of requests: %w", err)
	}
	r, err := resolve.New(resolve.Parts{
		Live: c.manager.GetAPIReader(), Cached: c.manager.GetCache(), Writer: c.manager.GetClient(), Audit: c.store,
		Events: c.manager.GetEventRecorder(eventSource), Metrics: counted, Executions: c.metrics, Clock: o.Clock, Log: o.Log.Named("resolution"), StaleAfter: o.StaleAfter,
	})
	if err != nil {
		return nil, fmt.Errorf("ends of requests: %w", err)
	}
	return r, nil
}
