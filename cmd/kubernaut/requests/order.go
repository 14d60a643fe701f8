package requests

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/internal/cli"
)

// maxPrefix leaves room for what the API server adds to a generated name.
const maxPrefix = 240

func orderCommand(prefix string, what v1alpha1.Command) *cobra.Command {
	var at connection.Flags
	var reason string
	word := strings.ToLower(string(what))
	c := &cobra.Command{
		Use: word + " NAME",
		Short: map[v1alpha1.Command]string{
			v1alpha1.CommandRetry: "Select a workflow again for a request that waits for a person",
			v1alpha1.CommandClose: "End a request that waits for a person, without a remediation",
		}[what],
		Long: `Create a RemediationCommand for a request in phase ManualReview, under the name that
the API server knows you by. The command's status says what became of it.`,
		Example: "  kubernaut " + word + ` rr-494f90b26842-423d92d214 -n shop --reason "the registry is back"`,
		Args:    oneName,
		RunE: func(c *cobra.Command, args []string) error {
			if reason == "" {
				return cli.Usagef("--reason is required: it is a part of the trail")
			}
			return order(c.Context(), &at, args[0], what, reason, c.OutOrStdout())
		},
		ValidArgsFunction: completeNames(&at, requestNames(waits)),
	}
	return cli.WithFlags(c, prefix, func(f *cli.Flags) {
		at.Declare(f, "request")
		f.String(&reason, "reason", "", "why; a part of the trail", cli.Check(checkReason))
	})
}

func waits(r *v1alpha1.RemediationRequest) bool {
	return r.Status.Phase == v1alpha1.RemediationManualReview
}

func order(ctx context.Context, at *connection.Flags, name string, what v1alpha1.Command, reason string, out io.Writer) error {
	c, err := connect(at)
	if err != nil {
		return err
	}
	request, err := c.request(ctx, name)
	if err != nil {
		return err
	}
	if !waits(request) {
		return fmt.Errorf("request %s/%s is in phase %s: only one in phase %s can be %s",
			request.Namespace, name, request.Status.Phase, v1alpha1.RemediationManualReview,
			map[v1alpha1.Command]string{v1alpha1.CommandRetry: "retried", v1alpha1.CommandClose: "closed"}[what])
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	command := &v1alpha1.RemediationCommand{
		ObjectMeta: metav1.ObjectMeta{Namespace: request.Namespace, GenerateName: name[:min(len(name), maxPrefix)] + "-"},
		Spec: v1alpha1.RemediationCommandSpec{
			Request: v1alpha1.ObjectRef{Name: name, UID: request.UID}, Command: what, Reason: reason, RequestedBy: me,
		},
	}
	if err := c.Create(ctx, command); err != nil {
		return fmt.Errorf("create remediationcommand for %s/%s: %w", request.Namespace, name, err)
	}
	return writef(out, "%s: remediationcommand %s/%s created by %s; kubectl get rcmd -n %s shows its result\n",
		what, command.Namespace, command.Name, me.Name, command.Namespace)
}
