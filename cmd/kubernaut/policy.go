package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/replay"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/policy"
)

func policyCommand() *cobra.Command {
	c := cli.Group(&cobra.Command{Use: "policy", Short: "Try policies before they decide"})
	c.AddCommand(policyTestCommand(), replay.Command(prefix))
	return c
}

func policyTestCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "test DIR",
		Short: "Check that a directory of policies can be used, and run its tests",
		Long: `Compile the Rego modules of a directory as the services do, run their tests
(files named *_test.rego), and check that every decision is defined. Exits with 0
only if the services would put the policies in force.`,
		Example: "  kubernaut policy test ./policies",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("want one directory, got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return testPolicies(c.Context(), args[0], c.OutOrStdout())
		},
	}
	cli.Configure(c, prefix)
	return c
}

var errPolicyTests = errors.New("policy tests failed")

func testPolicies(ctx context.Context, dir string, out io.Writer) error {
	bundle, err := policy.LoadDir(dir)
	if err != nil {
		return fmt.Errorf("test policies: %w", err)
	}
	results, err := policy.RunTests(ctx, bundle)
	if err != nil {
		return fmt.Errorf("test policies: %w", err)
	}
	for _, result := range results {
		verdict := "ok  "
		if result.Failure != "" {
			verdict = "FAIL"
		}
		_, _ = fmt.Fprintln(out, verdict, result)
	}
	failed := len(results.Failed())
	_, _ = fmt.Fprintf(out, "policy tests %d failed %d\n", len(results), failed)
	if failed > 0 {
		return errPolicyTests
	}
	set, err := policy.Compile(ctx, bundle)
	if err != nil {
		return fmt.Errorf("test policies: %w", err)
	}
	_, _ = fmt.Fprintf(out, "usable, sha256 %s, with the decisions:\n", set.Policy().SHA256)
	for _, decision := range set.Decisions() {
		_, _ = fmt.Fprintln(out, " ", decision)
	}
	return nil
}
