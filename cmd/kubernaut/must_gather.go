package main

import (
	"cmp"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/mustgather"
)

// gatherPrefix is that of the environment variables of must-gather.
const gatherPrefix = "MUST_GATHER"

const gatherGCPercent = 400

const (
	// imageProgram is the name that `oc adm must-gather --image` runs, imageDest where it takes files from.
	imageProgram, imageDest = "gather", "/must-gather"
)

// mustGatherCommand collects diagnostics.
func mustGatherCommand() *cobra.Command {
	var o mustgather.Options
	c := &cobra.Command{
		Use:   "must-gather",
		Short: "Collect what is needed to diagnose a cluster: resources, logs, metrics, audit stores, timelines",
		Long: `Collect what is needed to diagnose Kubernaut: resources, logs, events, metrics, the
state of audit stores and of DataStorage, and timelines of requests. Changes nothing
in the cluster. Secrets are left out; values of Secrets, passwords and tokens are
never included.

The last line of output is the archive's path. What could not be collected is in the
archive's not-collected.txt. Without a cluster, the audit events of --datastorage-url
and the logs of --extra-logs are collected.

Exit codes: 0 archive written, possibly a partial one after an interrupt; 1 no
archive; 2 invalid flags.`,
		Example: `  kubernaut must-gather
  kubernaut must-gather --since 30m --correlation-id rr-1f0a9c33d2 --dest /tmp
  kubernaut must-gather --datastorage-url https://audit.example.com --datastorage-token-file token`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return mustGather(c, o) },
	}
	set := c.Flags()
	set.StringArrayVarP(&o.Namespaces, "namespace", "n", nil, "namespace to collect; can be repeated (default "+mustgather.Home+
		", namespaces with pods labeled app.kubernetes.io/part-of=kubernaut, and those of workflows)")
	set.StringArrayVar(&o.CorrelationIDs, "correlation-id", nil, "request that gets a timeline; can be repeated. The newest failed and the oldest stuck requests always have one")
	set.BoolVar(&o.ShowSensitive, "show-sensitive", false, "include the payloads of signals and the data of sensitive audit events")
	var flags cli.Flags
	flags.Duration(&o.Since, "since", time.Hour, "age of the oldest logs and failures to collect")
	flags.Duration(&o.TimeLimit, "time-limit", 20*time.Second, "time limit of each step") //nolint:mnd // the default
	flags.String(&o.Dest, "dest", ".", "directory for the directory must-gather-<time> and its archive")
	flags.String(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file; none: as kubectl finds it, or the pod's service account")
	flags.String(&o.Context, "context", "", "context of the kubeconfig file")
	flags.String(&o.DataStorageURL, "datastorage-url", "", `URL of DataStorage if it is not the Service "datastorage" of the cluster`, cli.Check(mustgather.CheckURL))
	flags.String(&o.DataStorageTokenFile, "datastorage-token-file", "", "file with a bearer token for --datastorage-url")
	flags.String(&o.DataStorageCAFile, "datastorage-ca-file", "", "PEM file with the certificate authorities of DataStorage")
	flags.String(&o.ExtraLogs, "extra-logs", "", "directory with logs (*.log) and notes (*.txt) of processes outside the cluster")
	flags.AddTo(set)
	cli.Configure(c, gatherPrefix)
	return c
}

func mustGather(c *cobra.Command, o mustgather.Options) error {
	// The names that the services and older releases use.
	o.DataStorageURL = cmp.Or(o.DataStorageURL, os.Getenv("DATASTORAGE_URL"))
	o.ExtraLogs = cmp.Or(o.ExtraLogs, os.Getenv("EXTRA_LOGS"))
	if err := checkGather(&o); err != nil {
		return err
	}
	// A short run with a small heap: collecting garbage less often saves time.
	debug.SetGCPercent(gatherGCPercent)
	o.Out = c.OutOrStdout()
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGHUP) // the others end the command's context
	defer stop()
	_, err := mustgather.Run(ctx, o)
	return err //nolint:wrapcheck // says what is wrong
}

// checkGather checks what the flags do not check themselves.
func checkGather(o *mustgather.Options) error {
	for _, namespace := range o.Namespaces {
		if err := mustgather.CheckNamespace(namespace); err != nil {
			return cli.Usagef("--namespace %s: %w", namespace, err)
		}
	}
	for _, id := range o.CorrelationIDs {
		if err := mustgather.CheckCorrelationID(id); err != nil {
			return cli.Usagef("--correlation-id: %w", err)
		}
	}
	if o.DataStorageURL != "" {
		if err := mustgather.CheckURL(o.DataStorageURL); err != nil {
			return cli.Usagef("--datastorage-url: %w", err)
		}
	}
	for _, file := range []struct{ flag, path string }{
		{"kubeconfig", o.Kubeconfig}, {"datastorage-token-file", o.DataStorageTokenFile}, {"datastorage-ca-file", o.DataStorageCAFile},
	} {
		if file.path == "" {
			continue
		}
		opened, err := os.Open(file.path)
		if err != nil {
			return cli.Usagef("--%s: %w", file.flag, err)
		}
		_ = opened.Close() // only opened to see that it can be
	}
	if o.ExtraLogs != "" {
		if info, err := os.Stat(o.ExtraLogs); err != nil || !info.IsDir() {
			return cli.Usagef("--extra-logs %s: not a directory", o.ExtraLogs)
		}
	}
	return nil
}

// gatherArguments are those of the program when an image runs it as "gather".
func gatherArguments(args []string) []string {
	return append([]string{"must-gather", "--dest", imageDest}, args...)
}
