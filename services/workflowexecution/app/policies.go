package app

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"kubernaut.ai/internal/policyaudit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// loadPolicies loads the policies. Nothing is recorded about them before the
// controllers are about to start.
func (c *controllers) loadPolicies(ctx context.Context) error {
	o := &c.app.options
	source, err := policyaudit.Load(ctx, policyaudit.Options{
		Dir: o.PolicyDir, Service: eventSource,
		Loaded: auditevents.TypePolicyLoaded, Rejected: auditevents.TypePolicyRejected,
		Record: c.store.Record, Manager: func() manager.Manager { return c.manager },
		Clock: o.Clock, Log: o.Log, Registerer: c.app.registry,
	})
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	c.policies = source
	return nil
}
