package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/demo"
	"kubernaut.ai/cmd/kubernaut/stack"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/devstack/consent"
	"kubernaut.ai/internal/devstack/progress"
)

func demoCommand() *cobra.Command {
	var addresses string
	var install, auto bool
	logs := cli.LogFlags{Level: "warn", Format: "console"} // the demo's own output comes first
	c := &cobra.Command{
		Use:   "demo",
		Short: "Turn a real alert into a remediation, and tell its audit trail",
		Long: `Let a pod of a Deployment crash, send the alert as Alertmanager sends it, show the proposed
remediation, ask for its approval, restart the Deployment, verify the effect, and tell the
audit trail. Exits with 0 only if the request has ended and the trail is complete.

The approval is yours, under the name of your account on this machine. --auto approves as
the user ` + stack.AutoUser + ` instead. Starts and stops everything it needs, unless --addresses
names a stack that runs already. The control plane has its controllers and no node: what
a kubelet would report of pods, the demo reports, in lines that begin with "demo:".`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.New(c.ErrOrStderr())
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			console := consent.NewConsole(install, c.InOrStdin(), c.ErrOrStderr())
			options := stack.Options{Consent: console.Allow, Progress: progress.To(console), Log: log}
			if !auto && !console.Terminal() {
				return cli.Usagef("there is no terminal to ask for an approval: run kubernaut demo in a terminal, or with --auto (with make: AUTO=1), which approves as %s", stack.AutoUser)
			}
			return runDemo(c.Context(), addresses, options, demo.Options{Out: c.OutOrStdout(), Auto: auto, Ask: console.Ask})
		},
	}
	var flags cli.Flags
	flags.String(&addresses, "addresses", "", "file that kubernaut up --addresses wrote, to use its stack")
	flags.Bool(&auto, "auto", false, "do not ask: approve as the user "+stack.AutoUser)
	flags.Bool(&install, "install", false, installUsage)
	flags.AddTo(c.Flags())
	logs.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

func runDemo(ctx context.Context, addresses string, options stack.Options, o demo.Options) error {
	var err error
	if addresses != "" {
		if o.At, err = stack.ReadAddresses(addresses); err != nil {
			return &cli.UsageError{Err: err}
		}
		err = show(ctx, o)
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
	options.Progress.Sayf("everything is up\n")
	o.At = s.Addresses()
	return errors.Join(show(ctx, o), s.Stop(ctx))
}

func show(ctx context.Context, o demo.Options) error {
	if err := demo.Run(ctx, o); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
