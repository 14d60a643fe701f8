package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/lifecycle"
)

// Serve makes the serve command of a service. It has the flags that addFlags
// adds and those for logging, each also as an environment variable behind
// prefix. The command logs its configuration without secrets, makes the app and
// runs it until it is asked to stop.
func Serve(prefix, short string, addFlags func(*pflag.FlagSet), newApp func(log *zap.Logger) (lifecycle.App, error)) *cobra.Command {
	var logs LogFlags
	c := &cobra.Command{
		Use:     "serve",
		Short:   short,
		Example: fmt.Sprintf("  %[1]s serve --config /etc/kubernaut/%[1]s.yaml\n  %[2]s_LOG_LEVEL=debug %[1]s serve", strings.ToLower(prefix), prefix),
		Args:    NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.New(c.ErrOrStderr())
			if err != nil {
				return err
			}
			app, err := newApp(log)
			if err != nil {
				return err
			}
			build := buildinfo.Get()
			log.Info("starting", zap.String("version", build.Version), zap.String("revision", build.Revision),
				zap.Any("configuration", Effective(c.Flags())))
			return app.Run(c.Context())
		},
	}
	addFlags(c.Flags())
	logs.AddTo(c.Flags())
	Configure(c, prefix)
	return c
}
