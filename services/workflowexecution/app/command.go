package app

import (
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/internal/spoolcommand"
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
		}), spoolcommand.Command("WORKFLOWEXECUTION"))
	return root
}
