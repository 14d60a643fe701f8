// Command signalprocessing enriches and classifies the signals of RemediationRequests.
package main

import (
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
		func(log *zap.Logger) (service.App, error) {
			kube.LogTo(log)
			options.Log = log
			return app.New(options)
		}))
	os.Exit(service.Main(root))
}
