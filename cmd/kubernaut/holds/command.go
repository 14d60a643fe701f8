package holds

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/cmd/kubernaut/eventflags"
	"kubernaut.ai/cmd/kubernaut/output"
	"kubernaut.ai/internal/cli"
)

const (
	maxName = 255
	// pageSize is how many holds are asked for at once, maxPage how many can be.
	pageSize, maxPage = 500, 1000
	// maxListed bounds the holds that a list shows.
	maxListed = 100_000
)

const about = `

People act through the API server, under the name that it knows them by, and need the
ClusterRole kubernaut-audit-legal-holder. With --datastorage-url, DataStorage is called
directly, with the token in --datastorage-token-file.`

// options are the flags of all commands here.
type options struct{ connection.Trail }

func (o *options) declare(f *cli.Flags) {
	o.At.Declare(f, "requests, for completion")
	o.Direct.Declare(f)
}

// Command makes the command hold. The flags of its commands can also be set by
// environment variables with the prefix. requests completes correlation ids.
func Command(prefix string, requests func(*connection.Flags) cobra.CompletionFunc) *cobra.Command {
	root := cli.Group(&cobra.Command{
		Use: "hold", Short: "Keep events of the trail from retention and erasure",
		Long: "Place, list and release legal holds. Held events survive retention and cannot be erased." + about,
	})
	root.AddCommand(placeCommand(prefix, requests), listCommand(prefix), releaseCommand(prefix))
	return root
}

func placeCommand(prefix string, requests func(*connection.Flags) cobra.CompletionFunc) *cobra.Command {
	var o options
	var reason, id string
	var filters []string
	c := &cobra.Command{
		Use:   "place [CORRELATION_ID]",
		Short: "Place a hold on a correlation id, or on a filter",
		Long: `Place a legal hold on the events of a correlation id, which for remediations is the
name of the request, or on those that match all filters. It covers events that are
stored later, too.` + about,
		Example: `  kubernaut hold place rr-494f90b26842-423d92d214 --reason "case 2026-114"
  kubernaut hold place --filter actor_id=alice --filter since=2026-01-01 --reason "case 2026-115"`,
		Args: atMostOneName,
		RunE: func(c *cobra.Command, args []string) error {
			sent, err := newRequest(args, filters, reason, id)
			if err != nil {
				return fmt.Errorf("%s: %w", c.CommandPath(), err)
			}
			at, err := o.open()
			if err != nil {
				return err
			}
			placed, err := at.place(c.Context(), sent)
			if connection.IsRefusal(err) {
				return err
			}
			if err != nil {
				return fmt.Errorf("%w; if it is unknown whether the hold was placed, repeat the command with --id %s", err, sent.HoldId)
			}
			return output.Line(c.OutOrStdout(), "hold %s placed on %s%s", placed.HoldId, held(&placed), by(placed.PlacedBy))
		},
		ValidArgsFunction: requests(&o.At),
	}
	cli.WithFlags(c, prefix, o.declare, eventflags.Reason(&reason), eventflags.Filters(&filters), func(f *cli.Flags) {
		f.String(&id, "id", "", "id of the hold, a UUID: a command that is repeated with it places one hold; none: a new one", cli.Check(eventflags.CheckID))
	})
	eventflags.CompleteFilters(c)
	return c
}

func listCommand(prefix string) *cobra.Command {
	var o options
	var form string
	var released bool
	var limit int
	c := &cobra.Command{
		Use:     "list [CORRELATION_ID|HOLD_ID]",
		Aliases: []string{"ls"},
		Short:   "List holds",
		Long:    `List the legal holds in force, newest first: all, or those on a correlation id, or one.` + about,
		Example: `  kubernaut hold list
  kubernaut hold list rr-494f90b26842-423d92d214 --released -o yaml`,
		Args: atMostOneName,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := o.open()
			if err != nil {
				return err
			}
			found, err := listAll(c.Context(), at, selection{name: strings.Join(args, ""), released: released, limit: limit})
			if err != nil {
				return err
			}
			if found.cursor != "" {
				c.PrintErrf("only the newest %d holds are shown: name a correlation id to find others\n", len(found.holds))
			}
			return show(c.OutOrStdout(), form, found)
		},
		ValidArgsFunction: o.complete(&released),
	}
	return cli.WithFlags(c, prefix, o.declare, output.Declare(&form), func(f *cli.Flags) {
		f.Bool(&released, "released", false, "with holds that were released")
		f.Int(&limit, "chunk-size", pageSize, "how many holds are asked for at once; all are shown", cli.AtMost(maxPage))
	})
}

func releaseCommand(prefix string) *cobra.Command {
	var o options
	var reason string
	inForce := false
	c := &cobra.Command{
		Use:   "release CORRELATION_ID|HOLD_ID",
		Short: "Release the holds on a correlation id, or one hold",
		Long: `Release all holds in force on a correlation id, or the one with an id. Events whose
retention is over are removed by the next run of datastorage maintain, unless another
hold keeps them. The record of a hold stays: list --released shows it.` + about,
		Example: `  kubernaut hold release rr-494f90b26842-423d92d214 --reason "case 2026-114 is settled"`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("%s takes one correlation id or id of a hold, got %d arguments", c.CommandPath(), len(args))
			}
			return atMostOneName(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return eventflags.ErrReason
			}
			at, err := o.open()
			if err != nil {
				return err
			}
			released, err := at.release(c.Context(), args[0], reason)
			for i := range released {
				h := &released[i]
				err = errors.Join(err, output.Line(c.OutOrStdout(), "hold %s on %s released%s", h.HoldId, held(h), by(h.ReleasedBy)))
			}
			return err
		},
		ValidArgsFunction: o.complete(&inForce),
	}
	return cli.WithFlags(c, prefix, o.declare, eventflags.Reason(&reason))
}

// newRequest checks what a hold is placed on. The server knows the filters.
func newRequest(args, filters []string, reason, id string) (datastorage.LegalHoldRequest, error) {
	sent := datastorage.LegalHoldRequest{Reason: reason}
	switch {
	case (len(args) == 0) == (len(filters) == 0):
		return sent, cli.Usagef("name a correlation id, or give --filter, and not both")
	case strings.TrimSpace(reason) == "":
		return sent, eventflags.ErrReason
	case len(args) == 1:
		sent.CorrelationId = &args[0]
	default:
		filter, err := eventflags.Filter(filters)
		if err != nil {
			return sent, err //nolint:wrapcheck // names the flag
		}
		sent.Filter = filter
	}
	made := uuid.Must(uuid.NewV7())
	if id != "" {
		made = uuid.MustParse(id) // checked with the flags
	}
	sent.HoldId = &made
	return sent, nil
}

func atMostOneName(c *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return cli.Usagef("%s takes one name at most, got %d arguments", c.CommandPath(), len(args))
	case len(args) == 1 && (strings.TrimSpace(args[0]) == "" || len([]rune(args[0])) > maxName):
		return cli.Usagef("%s: a correlation id has 1 to %d characters", c.CommandPath(), maxName)
	}
	return nil
}

// complete offers the ids of holds, and the correlation ids that are held.
func (o *options) complete(released *bool) cobra.CompletionFunc {
	return cli.CompleteName(func(ctx context.Context) ([]string, error) {
		at, err := o.open()
		if err != nil {
			return nil, err
		}
		found, err := at.list(ctx, selection{released: *released, limit: pageSize})
		if err != nil {
			return nil, err
		}
		var names []string
		for _, h := range found.holds {
			names = append(names, h.HoldId.String())
			if h.CorrelationId != "" {
				names = append(names, h.CorrelationId)
			}
		}
		return names, nil
	})
}
