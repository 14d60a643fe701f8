package main

import (
	"errors"
	"os/exec"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/mustgather"
	"kubernaut.ai/internal/cli"
)

// mustGatherCommand leaves its flags to the script, which is of use without this program too.
func mustGatherCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "must-gather",
		Short:              "Collect what is needed to diagnose a cluster: resources, logs, metrics, audit stores, timelines",
		DisableFlagParsing: true,
		RunE:               mustGather,
	}
}

func mustGather(c *cobra.Command, args []string) error {
	err := mustgather.Run(c.Context(), mustgather.Options{
		Args: args, Env: []string{"MUST_GATHER_NAME=" + c.CommandPath()},
		Stdout: c.OutOrStdout(), Stderr: c.ErrOrStderr(),
	})
	ended, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case ok && ended.ExitCode() == cli.ExitUsage: // the script has printed what is wrong
		return &cli.ReportedError{Code: cli.ExitUsage, Err: err}
	case ok:
		return &cli.ReportedError{Code: cli.ExitFailed, Err: err}
	}
	return err //nolint:wrapcheck // says what is missing
}
