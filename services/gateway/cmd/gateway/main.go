// Command gateway takes signals and opens remediation requests.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"kubernaut.ai/pkg/service"
	"kubernaut.ai/pkg/service/kube"
	"kubernaut.ai/services/gateway/app"
)

func main() {
	root := service.Group(&cobra.Command{Use: "gateway", Short: "Takes signals of a cluster and opens remediation requests"})
	var options app.Options
	root.AddCommand(service.Serve("GATEWAY", "Take signals until SIGTERM or SIGINT", options.AddFlags,
		func(log *zap.Logger) (service.App, error) {
			kube.LogTo(log)
			options.Log = log
			return app.New(options)
		}))
	os.Exit(service.Main(root))
}
