package cleanup

import (
	"time"

	"github.com/spf13/cobra"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
)

// The defaults and the bound are those of the workflow's parameters.
const (
	defaultMinAge  = 10 * time.Minute
	defaultMaxJobs = 100
	mostJobs       = 500
)

// Command makes the command clean-finished-jobs. Its flags can also be set by environment
// variables with the prefix.
func Command(prefix string) *cobra.Command {
	var (
		o          Options
		kubeconfig string
		flags      cli.Flags
	)
	c := &cobra.Command{
		Use:   "clean-finished-jobs",
		Short: "Delete finished Jobs of a namespace",
		Long: `Delete Jobs of a namespace that completed or failed at least --min-age ago, the oldest
first, and their pods with them. One line says what was deleted. Kept are Jobs of a
controller other than a CronJob, Jobs that Argo CD or Flux manages, and Jobs with the
annotation ` + AnnotationKeep + `.`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := flags.Complete(); err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			config, err := kube.Config(nil, kubeconfig, buildinfo.UserAgent("kubernaut-workflow"))
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			o.Config, o.Out = config, c.OutOrStdout()
			return Run(c.Context(), o)
		},
	}
	flags.String(&o.Namespace, "namespace", "", "namespace of the Jobs", cli.Required("the namespace of the Jobs"))
	flags.Duration(&o.MinAge, "min-age", defaultMinAge, "how long ago a Job must have finished")
	flags.Int(&o.MaxJobs, "max-jobs", defaultMaxJobs, "delete at most this many Jobs", cli.AtMost(mostJobs))
	flags.String(&kubeconfig, "kubeconfig", "", "kubeconfig file; none: the pod's service account")
	flags.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}
