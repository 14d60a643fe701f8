package requests

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/internal/cli"
)

// secondSuffix ends the name of the second decision about a proposal.
const secondSuffix = "-2"

// decision is what the command was asked for.
type decision struct {
	connection.Flags

	verdict            v1alpha1.Verdict
	reason             string
	workflowsNamespace string
	yes                bool
}

func decideCommand(prefix string, verdict v1alpha1.Verdict) *cobra.Command {
	o := decision{verdict: verdict}
	word := strings.ToLower(string(verdict))
	c := &cobra.Command{
		Use:   word + " NAME",
		Short: map[v1alpha1.Verdict]string{v1alpha1.VerdictApprove: "Approve a proposal", v1alpha1.VerdictReject: "Reject a proposal"}[verdict],
		Long: `Show what a proposal would change, where, and with which rights, ask, and create the
RemediationApproval that kubectl create would. NAME is that of a request, or of one
of its executions.

The decision is made under the name that the API server knows you by, and an
admission policy compares the two. A decision is final. Where two persons are
required, both run this command.`,
		Example: "  kubernaut " + word + ` rr-494f90b26842-423d92d214 -n shop --reason "checked with the team"`,
		Args:    oneName,
		RunE: func(c *cobra.Command, args []string) error {
			if o.reason == "" {
				return cli.Usagef("--reason is required: it is a part of the trail")
			}
			return o.run(c.Context(), args[0], c.InOrStdin(), c.OutOrStdout())
		},
		ValidArgsFunction: completeNames(&o.Flags, proposalNames),
	}
	return cli.WithFlags(c, prefix, func(f *cli.Flags) {
		o.Declare(f, "request")
		f.String(&o.reason, "reason", "", "why; a part of the trail", cli.Check(checkReason))
		f.String(&o.workflowsNamespace, "workflows-namespace", "kubernaut-workflows", "namespace of the workflows")
		f.Bool(&o.yes, "yes", false, "do not ask")
	})
}

func (o *decision) run(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	c, err := connect(&o.Flags)
	if err != nil {
		return err
	}
	wfe, err := c.proposal(ctx, name)
	if err != nil {
		return err
	}
	if err := decidable(wfe, o.verdict); err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	if err := showProposal(out, wfe, c.account(ctx, wfe, o.workflowsNamespace)); err != nil {
		return err
	}
	if !o.yes {
		question := fmt.Sprintf("%s this, as %s?", o.verdict, me.Name)
		if err := ask(in, out, question); err != nil {
			return err
		}
	}
	created, err := c.decide(ctx, wfe, o.verdict, o.reason, me)
	if err != nil {
		return err
	}
	return writef(out, "%s: remediationapproval %s/%s created by %s; kubernaut trail %s --follow shows what becomes of it\n",
		o.verdict, created.Namespace, created.Name, me.Name, wfe.Spec.Request.Name)
}

// proposal finds an execution by its name, or by that of its request.
func (c *cluster) proposal(ctx context.Context, name string) (*v1alpha1.WorkflowExecution, error) {
	wfe := &v1alpha1.WorkflowExecution{}
	err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, wfe)
	if err == nil {
		return wfe, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read execution %s/%s: %w", c.namespace, name, err)
	}
	request := &v1alpha1.RemediationRequest{}
	err = c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, request)
	switch {
	case apierrors.IsNotFound(err):
		return nil, c.absent("request or execution", name)
	case err != nil:
		return nil, fmt.Errorf("read request %s/%s: %w", c.namespace, name, err)
	case request.Status.ExecutionRef == "":
		return nil, fmt.Errorf("request %s/%s has no proposal: it is in phase %s", c.namespace, name, request.Status.Phase)
	}
	if err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: request.Status.ExecutionRef}, wfe); err != nil {
		return nil, fmt.Errorf("read execution %s/%s of request %s: %w", c.namespace, request.Status.ExecutionRef, name, err)
	}
	return wfe, nil
}

func isProposed(wfe *v1alpha1.WorkflowExecution) bool {
	return wfe.Status.Phase == "" || wfe.Status.Phase == v1alpha1.ExecutionProposed
}

// decidable says why a decision would have no effect; nil if it would.
func decidable(wfe *v1alpha1.WorkflowExecution, verdict v1alpha1.Verdict) error {
	switch {
	case !isProposed(wfe):
		return fmt.Errorf("execution %s/%s is not a proposal anymore: it is %s %s", wfe.Namespace, wfe.Name, wfe.Status.Phase, wfe.Status.Message)
	case wfe.Spec.Approval == v1alpha1.ApprovalNone && verdict == v1alpha1.VerdictApprove:
		return fmt.Errorf("execution %s/%s cannot be approved: %s", wfe.Namespace, wfe.Name, wfe.Spec.ApprovalReason)
	}
	return nil
}

// decide creates the decision. The first one about a proposal has the execution's UID as its
// name; a second one follows it where two persons are required, or to reject what one approved.
func (c *cluster) decide(ctx context.Context, wfe *v1alpha1.WorkflowExecution, verdict v1alpha1.Verdict, reason string, me v1alpha1.Decider) (*v1alpha1.RemediationApproval, error) {
	approval := &v1alpha1.RemediationApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: wfe.Namespace, Name: string(wfe.UID)},
		Spec: v1alpha1.RemediationApprovalSpec{
			Execution: wfe.Name, ExecutionUID: wfe.UID, PlanDigest: wfe.Spec.PlanDigest, Verdict: verdict, Reason: reason, DecidedBy: me,
		},
	}
	err := c.Create(ctx, approval.DeepCopy())
	if apierrors.IsAlreadyExists(err) {
		first := &v1alpha1.RemediationApproval{}
		if err := c.Get(ctx, client.ObjectKeyFromObject(approval), first); err != nil {
			return nil, fmt.Errorf("somebody has decided about %s/%s; read the decision: %w", wfe.Namespace, wfe.Name, err)
		}
		switch {
		case first.Spec.Verdict == v1alpha1.VerdictReject:
			return nil, fmt.Errorf("%s has rejected %s/%s already: %s", first.Spec.DecidedBy.Name, wfe.Namespace, wfe.Name, first.Spec.Reason)
		case verdict == v1alpha1.VerdictApprove && first.Spec.DecidedBy.Name == me.Name:
			return nil, fmt.Errorf("you have approved %s/%s already; if two persons are required, another one has to", wfe.Namespace, wfe.Name)
		}
		approval.Name += secondSuffix
		err = c.Create(ctx, approval.DeepCopy())
	}
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil, fmt.Errorf("two decisions about %s/%s exist already: kubectl get ra -n %s", wfe.Namespace, wfe.Name, wfe.Namespace)
	case err != nil:
		return nil, fmt.Errorf("create remediationapproval %s/%s: %w", approval.Namespace, approval.Name, err)
	}
	return approval, nil
}

// ask returns nil if the answer is yes.
func ask(in io.Reader, out io.Writer, question string) error {
	if err := writef(out, "%s [yes/no] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(io.LimitReader(in, maxReason)).ReadString('\n')
	if err != nil && answer == "" {
		_ = writef(out, "\n")
		return errDeclined
	}
	if text := strings.ToLower(strings.TrimSpace(answer)); text != "yes" && text != "y" {
		return errDeclined
	}
	return nil
}

func writef(out io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(out, format, args...); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
