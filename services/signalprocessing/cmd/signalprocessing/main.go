// Signalprocessing enriches and classifies the signals of RemediationRequests.
package main

import (
	"fmt"
	"os"

	"github.com/go-logr/zapr"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"kubernaut.ai/pkg/service"
	"kubernaut.ai/services/signalprocessing/app"
)

func main() {
	root := service.Group(&cobra.Command{
		Use:   "signalprocessing",
		Short: "Enrich and classify the signals of RemediationRequests",
	})
	root.AddCommand(serve())
	os.Exit(service.Main(root))
}

func serve() *cobra.Command {
	var options app.Options
	var logFlags service.LogFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the controllers until SIGINT or SIGTERM",
		Args:  service.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logFlags.New(c.ErrOrStderr())
			if err != nil {
				return fmt.Errorf("logging: %w", err)
			}
			// Kubernetes' libraries log through the process.
			klog.SetLogger(zapr.NewLogger(log.Named("kubernetes")))
			ctrllog.SetLogger(zapr.NewLogger(log.Named("controller")))
			options.Log = log
			a, err := app.New(options)
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			log.Info("starting", zap.Any("configuration", service.Effective(c.Flags())))
			return a.Run(c.Context())
		},
	}
	options.AddFlags(c.Flags())
	logFlags.AddTo(c.Flags())
	service.Configure(c, "SIGNALPROCESSING")
	return c
}
