package requests

import (
	"time"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/cmd/kubernaut/trail"
	"kubernaut.ai/internal/cli"
)

// followEvery is how often a trail that is followed is read.
const followEvery = 2 * time.Second

func trailCommand(prefix string) *cobra.Command {
	var at connection.Flags
	var source trail.Flags
	var output string
	var follow bool
	c := &cobra.Command{
		Use:   "trail NAME",
		Short: "Tell the story of a request from its audit trail",
		Long: `Tell what happened to a request, oldest first, from its audit trail: who did what,
and when. Events of recorders that may not write them are shown apart.

The events are read through the API server, under your own name: you need the right
to list events.audit.kubernaut.ai. With --datastorage-url they are read directly from
a DataStorage, as kubernaut up starts one. The trail is not flushed: what a service
has not stored yet is missing.`,
		Example: `  kubernaut trail rr-494f90b26842-423d92d214 --follow
  kubernaut trail rr-494f90b26842-423d92d214 -o markdown`,
		Args: oneName,
		RunE: func(c *cobra.Command, args []string) error {
			if follow && output != trail.Table {
				return cli.Usagef("--follow goes with --output %s only", trail.Table)
			}
			from, err := source.Open(&at, c.ErrOrStderr())
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			if follow {
				return trail.Follow(c.Context(), from, args[0], followEvery, c.OutOrStdout())
			}
			return trail.Print(c.Context(), from, args[0], output, c.OutOrStdout())
		},
		ValidArgsFunction: CompleteRequests(&at),
	}
	return cli.WithFlags(c, prefix, func(f *cli.Flags) {
		at.Declare(f, "request, for completion")
		source.Declare(f)
		f.String(&output, "output", trail.Table, "form of the output: table, json, yaml or markdown",
			cli.OneOf(trail.Table, trail.JSON, trail.YAML, trail.Markdown), cli.Shorthand("o"))
		f.Bool(&follow, "follow", false, "print events as they come, until the request has ended")
	})
}
