package requests

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/cmd/kubernaut/trail"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/reconstruct"
)

func reconstructCommand(prefix string) *cobra.Command {
	var at connection.Flags
	var source trail.Flags
	c := &cobra.Command{
		Use:   "reconstruct NAME",
		Short: "Rebuild a request from its audit trail",
		Long: `Rebuild a RemediationRequest from its audit trail, and print it as YAML. The request
itself need not exist any more. What the trail does not tell, and what it tells
nearly, is printed to standard error.

The events are read as "kubernaut trail" reads them.`,
		Example: `  kubernaut reconstruct rr-494f90b26842-423d92d214 > request.yaml`,
		Args:    oneName,
		RunE: func(c *cobra.Command, args []string) error {
			from, err := source.Open(&at, c.ErrOrStderr())
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			ascending := datastorage.Asc
			builder := reconstruct.New(args[0])
			read := 0
			for e, err := range from.Query(c.Context(), datastorage.ListEventsParams{CorrelationId: &args[0], Order: &ascending}) {
				if err != nil {
					return err
				}
				builder.Add(&e)
				read++
			}
			if read == 0 {
				return fmt.Errorf("there is no event of request %s", args[0])
			}
			result := builder.Result()
			if !result.IsOfRequest() {
				return fmt.Errorf("none of the %d events with correlation id %s is about a RemediationRequest: kubernaut trail shows them", read, args[0])
			}
			return printReconstructed(result, c.OutOrStdout(), c.ErrOrStderr())
		},
		ValidArgsFunction: CompleteRequests(&at),
	}
	return cli.WithFlags(c, prefix, func(f *cli.Flags) {
		at.Declare(f, "request, for completion")
		source.Declare(f)
	})
}

func printReconstructed(r *reconstruct.Result, out, notes io.Writer) error {
	text, err := yaml.Marshal(r.Request)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("print the request: %w", err)
	}
	_, _ = fmt.Fprintf(notes, "%.0f %% complete, from %d events\n", floor(r.Completeness()), r.Events)
	if r.Foreign > 0 {
		_, _ = fmt.Fprintf(notes, "not used: %d events whose recorders may not write them\n", r.Foreign)
	}
	if r.Unchecked > 0 {
		_, _ = fmt.Fprintf(notes, "used: %d events of which nobody can tell whether their recorders may write them\n", r.Unchecked)
	}
	for _, g := range r.Missing {
		_, _ = fmt.Fprintf(notes, "missing: %s\n", line(g))
	}
	for _, g := range r.Approximate {
		_, _ = fmt.Fprintf(notes, "approximate: %s\n", line(g))
	}
	return nil
}

func line(g reconstruct.Gap) string {
	if g.Field == "" {
		return g.Reason
	}
	return g.Field + ": " + g.Reason
}

// floor is a share in percent; only what is complete is shown as 100.
func floor(share float64) float64 {
	const percent = 100
	return float64(int(share * percent))
}
