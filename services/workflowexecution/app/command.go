package app

import (
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/internal/spoolcommand"
	"kubernaut.ai/services/workflowexecution/internal/cleanup"
)

// Command is the command line of the program. It configures the Kubernetes
// logging of the whole process.
func Command() *cobra.Command {
	root := cli.Group(&cobra.Command{Use: "workflowexecution", Short: "Remediates what RemediationRequests report, and verifies the effect"})
	var options Options
	root.AddCommand(cli.Serve("WORKFLOWEXECUTION", "Run the controllers until SIGTERM or SIGINT", options.AddFlags,
		func(log *zap.Logger) (lifecycle.App, error) {
			kube.LogTo(log)
			options.Log = log
			return New(options)
		}), spoolcommand.Command("WORKFLOWEXECUTION"), workflowCommand())
	return root
}

// workflowCommand holds the programs of the shipped Job workflows, which run from the
// service's own image.
func workflowCommand() *cobra.Command {
	c := cli.Group(&cobra.Command{Use: "workflow", Short: "Programs of the shipped workflows"})
	c.AddCommand(cleanup.Command("WORKFLOWEXECUTION"))
	return c
}
