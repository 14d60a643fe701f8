// Command signalprocessing enriches and classifies the signals of RemediationRequests.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"kubernaut.ai/pkg/service"
	"kubernaut.ai/pkg/service/kube"
	"kubernaut.ai/services/signalprocessing/app"
)

func main() {
	root := service.Group(&cobra.Command{Use: "signalprocessing", Short: "Enriches and classifies the signals of RemediationRequests"})
	var options app.Options
	root.AddCommand(service.Serve("SIGNALPROCESSING", "Run the controllers until SIGTERM or SIGINT", options.AddFlags,
		func(ctx context.Context, log *zap.Logger) error {
			kube.LogTo(log)
			options.Log = log
			a, err := app.New(options)
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			return a.Run(ctx)
		}))
	os.Exit(service.Main(root))
}
