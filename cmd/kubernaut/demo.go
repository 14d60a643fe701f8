package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/demo"
	"kubernaut.ai/cmd/kubernaut/stack"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/devstack/consent"
	"kubernaut.ai/internal/devstack/progress"
)

// demoTimeout bounds the demo once everything is up.
const demoTimeout = 60 * time.Second

func demoCommand() *cobra.Command {
	var addresses string
	var install bool
	logs := cli.LogFlags{Level: "warn", Format: "console"} // the demo's own output comes first
	c := &cobra.Command{
		Use:   "demo",
		Short: "Send a real alert through the platform and print its audit trail",
		Long: `Send a webhook body as Alertmanager sends it through the platform, wait until the
request is classified and a workflow was looked for, flush, and print the request and its audit trail. Exits
with 0 only if the trail is complete. Starts and stops everything it needs,
unless --addresses names a stack that runs already.`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.New(c.ErrOrStderr())
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			console := consent.NewConsole(install, c.InOrStdin(), c.ErrOrStderr())
			options := stack.Options{Consent: console.Allow, Progress: progress.To(console), Log: log}
			return runDemo(c.Context(), addresses, options, c.OutOrStdout())
		},
	}
	var flags cli.Flags
	flags.String(&addresses, "addresses", "", "file that kubernaut up --addresses wrote, to use its stack")
	flags.Bool(&install, "install", false, installUsage)
	flags.AddTo(c.Flags())
	logs.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

func runDemo(ctx context.Context, addresses string, options stack.Options, out io.Writer) error {
	if addresses != "" {
		at, err := stack.ReadAddresses(addresses)
		if err != nil {
			return &cli.UsageError{Err: err}
		}
		err = show(ctx, at, out)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("%w (is the stack that wrote %s still running?)", err, addresses)
		}
		return err
	}
	s, err := stack.Start(ctx, options)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted while starting")
		}
		return fmt.Errorf("start the stack: %w", err)
	}
	options.Progress.Sayf("everything is up")
	return errors.Join(show(ctx, s.Addresses(), out), s.Stop(ctx))
}

func show(ctx context.Context, at stack.Addresses, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	if err := demo.Run(ctx, at, out); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
