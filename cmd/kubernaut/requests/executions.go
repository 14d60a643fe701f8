package requests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/cmd/kubernaut/output"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/printable"
)

// pageSize bounds the executions that are in memory at a time.
const pageSize = 200

// listing is what the command was asked for.
type listing struct {
	connection.Flags

	all     bool
	request string
	output  string
}

func executionsCommand(prefix string) *cobra.Command {
	var o listing
	c := &cobra.Command{
		Use:   "executions",
		Short: "List proposals and executions, and what became of them",
		Example: `  kubernaut executions -n shop
  kubernaut executions --all-namespaces -o json`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.all && o.Namespace != "" {
				return cli.Usagef("--all-namespaces and --namespace exclude each other")
			}
			return o.run(c.Context(), c.OutOrStdout())
		},
	}
	cli.WithFlags(c, prefix, func(f *cli.Flags) {
		o.Declare(f, "executions")
		f.String(&o.request, "request", "", "only those of a request")
	}, output.Declare(&o.output))
	c.Flags().BoolVarP(&o.all, "all-namespaces", "A", false, "those of all namespaces")
	// The only error is that the flag does not exist.
	_ = c.RegisterFlagCompletionFunc("request", completeNames(&o.Flags, requestNames(func(*v1alpha1.RemediationRequest) bool { return true })))
	return c
}

func (o *listing) run(ctx context.Context, out io.Writer) error {
	c, err := connect(&o.Flags)
	if err != nil {
		return err
	}
	var options []client.ListOption
	if !o.all {
		options = append(options, client.InNamespace(c.namespace))
	}
	show, end := o.printer(out)
	found := 0
	token := ""
	for {
		page := &v1alpha1.WorkflowExecutionList{}
		if err := c.List(ctx, page, append(options, client.Limit(pageSize), client.Continue(token))...); err != nil {
			return fmt.Errorf("list executions: %w", err)
		}
		for i := range page.Items {
			if o.request != "" && page.Items[i].Spec.Request.Name != o.request {
				continue
			}
			found++
			if err := show(&page.Items[i]); err != nil {
				return err
			}
		}
		if token = page.Continue; token == "" {
			break
		}
	}
	if found == 0 && o.output == output.Table {
		where := "in namespace " + c.namespace + "; --all-namespaces shows those of the others"
		if o.all {
			where = "in the cluster"
		}
		return writef(out, "no executions %s\n", where)
	}
	return end()
}

// printer returns what writes one execution, and what ends the output.
func (o *listing) printer(out io.Writer) (func(*v1alpha1.WorkflowExecution) error, func() error) {
	switch o.output {
	case output.JSON:
		separator := "[\n"
		return func(wfe *v1alpha1.WorkflowExecution) error {
				text, err := json.Marshal(wfe)
				if err != nil {
					return fmt.Errorf("write execution %s: %w", wfe.Name, err)
				}
				before := separator
				separator = ",\n"
				return writef(out, "%s%s", before, text)
			}, func() error {
				if separator == "[\n" {
					return writef(out, "[]\n")
				}
				return writef(out, "\n]\n")
			}
	case output.YAML:
		empty := true
		return func(wfe *v1alpha1.WorkflowExecution) error {
				empty = false
				text, err := yaml.Marshal([]*v1alpha1.WorkflowExecution{wfe})
				if err != nil {
					return fmt.Errorf("write execution %s: %w", wfe.Name, err)
				}
				return writef(out, "%s", text)
			}, func() error {
				if empty {
					return writef(out, "[]\n")
				}
				return nil
			}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	header := "NAMESPACE\tNAME\tPHASE\tWORKFLOW\tTARGET\tAPPROVAL\tOUTCOME\tAGE\tMESSAGE\n"
	return func(wfe *v1alpha1.WorkflowExecution) error {
		phase := wfe.Status.Phase
		if phase == "" {
			phase = v1alpha1.ExecutionProposed
		}
		before := header
		header = ""
		return writef(table, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", before, wfe.Namespace, wfe.Name, phase, wfe.Spec.Workflow.Name,
			printable.Line(targetOf(wfe)), wfe.Spec.Approval, wfe.Status.Outcome,
			duration.HumanDuration(time.Since(wfe.CreationTimestamp.Time)), printable.Line(wfe.Status.Message))
	}, table.Flush
}
