package app

import "kubernaut.ai/services/workflowexecution/internal/catalog"

// registerCatalog adds the controller that validates workflows.
func (c *controllers) registerCatalog() error {
	r := &catalog.Reconciler{
		Validator: catalog.Validator{Live: c.manager.GetAPIReader(), Writer: c.manager.GetClient()},
		Status:    c.manager.GetClient(),
		Cached:    c.manager.GetCache(),
		Namespace: c.app.options.WorkflowsNamespace,
		Every:     catalog.Every,
		Known:     c.metrics.Workflow,
	}
	return r.Register(c.manager) //nolint:wrapcheck // of this module
}
