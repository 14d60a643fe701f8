package requests

import (
	"context"
	"io"

	"k8s.io/client-go/rest"

	"kubernaut.ai/api/v1alpha1"
)

// Person sees proposals and decides about them as the commands approve and reject do.
type Person struct {
	v1alpha1.Decider

	cluster            *cluster
	workflowsNamespace string
}

// NewPerson is whom the API server takes the configuration's user for.
func NewPerson(ctx context.Context, config *rest.Config, namespace, workflowsNamespace string) (*Person, error) {
	c, err := connectWith(config, namespace)
	if err != nil {
		return nil, err
	}
	me, err := c.me(ctx)
	if err != nil {
		return nil, err
	}
	return &Person{Decider: me, cluster: c, workflowsNamespace: workflowsNamespace}, nil
}

// Show writes the proposal of a request, and returns it.
func (p *Person) Show(ctx context.Context, request string, out io.Writer) (*v1alpha1.WorkflowExecution, error) {
	wfe, err := p.cluster.proposal(ctx, request)
	if err != nil {
		return nil, err
	}
	return wfe, showProposal(out, wfe, p.cluster.account(ctx, wfe, p.workflowsNamespace))
}

// Decide creates the person's decision about a proposal.
func (p *Person) Decide(ctx context.Context, wfe *v1alpha1.WorkflowExecution, verdict v1alpha1.Verdict, reason string) error {
	if err := decidable(wfe, verdict); err != nil {
		return err
	}
	_, err := p.cluster.decide(ctx, wfe, verdict, reason, p.Decider)
	return err
}
