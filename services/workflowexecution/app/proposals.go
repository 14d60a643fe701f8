package app

import (
	"fmt"

	"kubernaut.ai/internal/mustgather/redact"
	"kubernaut.ai/services/workflowexecution/internal/accounts"
	"kubernaut.ai/services/workflowexecution/internal/approval"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/guardrail"
	"kubernaut.ai/services/workflowexecution/internal/plan"
	"kubernaut.ai/services/workflowexecution/internal/requests"
	"kubernaut.ai/services/workflowexecution/internal/selection"
)

// proposals are what proposals are made with.
type proposals struct {
	accounts *accounts.Accounts
	planner  *plan.Planner
	guard    *approval.Guard
	rails    *guardrail.GuardRails
	selector *selection.Selector
}

// newProposals makes what proposals are made with.
func (c *controllers) newProposals() (*proposals, error) {
	o := &c.app.options
	acting, err := accounts.New(accounts.Options{
		Config: c.app.rest, Client: c.manager.GetClient(), Namespace: o.WorkflowsNamespace, Clock: o.Clock,
	})
	if err != nil {
		return nil, fmt.Errorf("accounts of workflows: %w", err)
	}
	redactor, err := redact.New()
	if err != nil {
		return nil, fmt.Errorf("plans: %w", err)
	}
	planner := plan.New(plan.Options{
		Accounts: acting, Jobs: c.manager.GetClient(), Namespace: o.WorkflowsNamespace,
		WorkflowDigest: catalog.Digest, Redact: redactor.Text, RedactObject: redactor.Object, Clock: o.Clock,
	})
	guard := &approval.Guard{Live: c.manager.GetAPIReader(), Accounts: acting, Namespace: o.WorkflowsNamespace}
	rails := c.newRails()
	selector := selection.New(selection.Parts{
		Live:      c.manager.GetAPIReader(),
		Cached:    c.manager.GetCache(),
		Writer:    c.manager.GetClient(),
		Policies:  c.policies.Current,
		Planner:   planner,
		Admission: guard.Snapshot,
		Rails:     rails,
		Audit:     c.store,
		Metrics:   c.metrics,
		Clock:     o.Clock,
		Log:       o.Log.Named("selection"),
	}, selection.Options{
		Mode:               selection.Mode(o.Mode),
		WorkflowsNamespace: o.WorkflowsNamespace,
		PlatformNamespace:  o.PlatformNamespace,
		DatabaseNamespace:  o.DatabaseNamespace,
		ClusterNames:       o.ClusterNames,
		Expiry:             o.ApprovalExpiry,
		Deadline:           o.PolicyDeadline,
	})
	return &proposals{accounts: acting, planner: planner, guard: guard, rails: rails, selector: selector}, nil
}

// registerRequests adds the controller that takes requests through their phases.
func (c *controllers) registerRequests(selector *selection.Selector) error {
	o := &c.app.options
	ends, err := c.ends()
	if err != nil {
		return err
	}
	r, err := requests.New(requests.Parts{
		Live:        c.manager.GetAPIReader(),
		Cached:      c.manager.GetCache(),
		Writer:      c.manager.GetClient(),
		Selector:    selector,
		Ends:        ends,
		Audit:       c.store,
		Clock:       o.Clock,
		Log:         o.Log.Named("request"),
		Concurrency: o.Concurrency,
	})
	if err != nil {
		return fmt.Errorf("requests: %w", err)
	}
	return r.Register(c.manager) //nolint:wrapcheck // of this module
}
