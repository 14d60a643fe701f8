package app

import (
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
)

// Command is the command line of the program. It configures the whole
// process's Kubernetes logging.
func Command() *cobra.Command {
	root := cli.Group(&cobra.Command{Use: "gateway", Short: "Takes signals of a cluster and opens remediation requests"})
	var options Options
	root.AddCommand(cli.Serve("GATEWAY", "Take signals until SIGTERM or SIGINT", options.AddFlags,
		func(log *zap.Logger) (lifecycle.App, error) {
			kube.LogTo(log)
			options.Log = log
			return New(options)
		}))
	return root
}
