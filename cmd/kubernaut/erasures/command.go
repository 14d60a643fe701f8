package erasures

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/cmd/kubernaut/eventflags"
	"kubernaut.ai/cmd/kubernaut/output"
	"kubernaut.ai/internal/cli"
)

const about = `

People act through the API server, under the name that it knows them by, and need the
ClusterRole kubernaut-audit-eraser. With --datastorage-url, DataStorage is called
directly, with the token in --datastorage-token-file.`

const (
	// mostEvents is how many events one erasure names at most.
	mostEvents = 1000
	// mostIDs bounds the ids that a command takes.
	mostIDs = 1_000_000
	// maxListed bounds the erasures that a list shows.
	maxListed = 100_000
	// patience is for how long the end of an erasure is waited for by default.
	patience = time.Minute
)

// options are the flags of all commands here.
type options struct{ connection.Trail }

func (o *options) declare(f *cli.Flags) {
	o.At.DeclareCluster(f)
	o.Direct.Declare(f)
}

// Command makes the command erasure. The flags of its commands can also be set by
// environment variables with the prefix.
func Command(prefix string) *cobra.Command {
	root := cli.Group(&cobra.Command{
		Use: "erasure", Short: "Erase what events of the trail say about people",
		Long: "Find events to erase, ask for their erasure, and see what became of it. That the events happened stays, and can be verified." + about,
	})
	root.AddCommand(previewCommand(prefix), requestCommand(prefix), listCommand(prefix), showCommand(prefix))
	return root
}

func previewCommand(prefix string) *cobra.Command {
	var o options
	var filters []string
	c := &cobra.Command{
		Use:   "preview --filter NAME=VALUE...",
		Short: "Find events to erase",
		Long: `Print the ids of the events that match all filters and can be erased, one in a line. Events
that are erased, and those of DataStorage itself, are left out. Those that a legal hold keeps
are named on standard error, with the hold: an erasure that names one is refused as a whole.` + about,
		Example: `  kubernaut erasure preview --filter actor_id=alice > ids
  kubernaut erasure request --reason "request 2026-7" - < ids`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			filter, err := eventflags.Filter(filters)
			if err != nil {
				return err //nolint:wrapcheck // names the flag
			}
			if len(filter) == 0 {
				return cli.Usagef("--filter is required: it says what the events are about")
			}
			at, err := o.open()
			if err != nil {
				return err
			}
			return preview(c, at, filter)
		},
	}
	cli.WithFlags(c, prefix, o.declare, eventflags.Filters(&filters))
	eventflags.CompleteFilters(c)
	return c
}

// preview prints the ids of all pages as they come.
func preview(c *cobra.Command, at eraser, filter datastorage.EventFilter) error {
	events, held := 0, 0
	for cursor := ""; ; {
		found, err := at.preview(c.Context(), filter, cursor)
		if err != nil {
			return err
		}
		kept := map[uuid.UUID]bool{}
		for _, h := range found.Held {
			kept[h.EventId] = true
			c.PrintErrf("event %s is kept by legal hold %s\n", h.EventId, h.HoldId)
		}
		for _, id := range found.EventIds {
			if kept[id] {
				continue
			}
			events++
			if err := output.Line(c.OutOrStdout(), "%s", id); err != nil {
				return err //nolint:wrapcheck // says all there is
			}
		}
		held += len(kept)
		if cursor = found.NextCursor; cursor == "" {
			c.PrintErrf("%d events can be erased, %d are held\n", events, held)
			return nil
		}
	}
}

func requestCommand(prefix string) *cobra.Command {
	var o options
	var reason, id string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "request EVENT_ID...|-",
		Short: "Ask for the erasure of events",
		Long: fmt.Sprintf(`Ask for the erasure of events by their ids; - reads them from standard input, one in a line.
Each %d events are one erasure: all of its events are erased, or none. Waits for its end.`, mostEvents) + about,
		Example: `  kubernaut erasure request 0190163d-8694-739b-aea5-966c26f8ad91 --reason "request 2026-7"
  kubernaut erasure preview --filter actor_id=alice | kubernaut erasure request --reason "request 2026-7" -`,
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return eventflags.ErrReason
			}
			requests, err := newRequests(c, args, reason, id)
			if err != nil {
				return err
			}
			at, err := o.open()
			if err != nil {
				return err
			}
			for _, sent := range requests {
				if err := request(c, at, sent, wait); err != nil {
					return err
				}
			}
			return nil
		},
	}
	return cli.WithFlags(c, prefix, o.declare, eventflags.Reason(&reason), func(f *cli.Flags) {
		f.String(&id, "id", "", "id of the erasure, a UUID: a command that is repeated with it asks once; none: a new one", cli.Check(eventflags.CheckID))
		f.Duration(&wait, "wait", patience, "how long to wait for the end of each erasure")
	})
}

// newRequests are the erasures of events whose ids are arguments, or on standard input.
func newRequests(c *cobra.Command, args []string, reason, id string) ([]datastorage.ErasureRequest, error) {
	ids, err := eventIDs(c.InOrStdin(), args)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", c.CommandPath(), err)
	case len(ids) == 0:
		return nil, cli.Usagef("%s needs ids of events, or - and ids on standard input", c.CommandPath())
	case id != "" && len(ids) > mostEvents:
		return nil, cli.Usagef("--id names one erasure, of at most %d events: there are %d", mostEvents, len(ids))
	}
	var requests []datastorage.ErasureRequest
	for len(ids) > 0 {
		n := min(len(ids), mostEvents)
		made := uuid.Must(uuid.NewV7())
		if id != "" {
			made = uuid.MustParse(id) // checked with the flags
		}
		requests = append(requests, datastorage.ErasureRequest{ErasureId: &made, EventIds: ids[:n], Reason: reason})
		ids = ids[n:]
	}
	return requests, nil
}

// eventIDs reads ids, each once.
func eventIDs(in io.Reader, args []string) (ids []uuid.UUID, err error) {
	texts := args
	if len(args) == 1 && args[0] == "-" {
		texts = nil
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			if text := strings.TrimSpace(lines.Text()); text != "" {
				texts = append(texts, text)
			}
			if len(texts) > mostIDs {
				return nil, cli.Usagef("more than %d ids: divide them", mostIDs)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read ids of events: %w", err)
		}
	}
	seen := map[uuid.UUID]bool{}
	for _, text := range texts {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, cli.Usagef("%q is not the id of an event: want a UUID, as kubernaut erasure preview prints it", text)
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// request asks for an erasure and waits for its end.
func request(c *cobra.Command, at eraser, sent datastorage.ErasureRequest, wait time.Duration) error {
	made, err := at.request(c.Context(), sent)
	if err != nil {
		return err
	}
	return await(c, at, &made, wait)
}

var errRefused = errors.New("the erasure was refused: none of its events was erased")

// await waits for the end of an erasure, and prints what became of it.
func await(c *cobra.Command, at eraser, e *datastorage.Erasure, wait time.Duration) error {
	for left := wait; e.Status == datastorage.Requested && left > 0; left -= longestWait {
		found, err := at.get(c.Context(), e.ErasureId, left)
		if err != nil {
			return fmt.Errorf("%w; kubernaut erasure show %s asks again", err, e.ErasureId)
		}
		*e = found
	}
	if err := printOutcome(c.OutOrStdout(), e); err != nil {
		return err
	}
	if e.Status == datastorage.Refused {
		return errRefused
	}
	return nil
}

func listCommand(prefix string) *cobra.Command {
	var o options
	var form string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List erasures",
		Long: `List erasures, newest first.` + about,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := o.open()
			if err != nil {
				return err
			}
			var found []datastorage.Erasure
			for cursor := ""; ; {
				page, next, err := at.list(c.Context(), cursor)
				if err != nil {
					return err
				}
				found = append(found, page...)
				if cursor = next; cursor == "" {
					break
				}
				if len(found) >= maxListed {
					c.PrintErrf("only the newest %d erasures are shown\n", len(found))
					break
				}
			}
			return show(c.OutOrStdout(), form, found)
		},
	}
	return cli.WithFlags(c, prefix, o.declare, output.Declare(&form))
}

func showCommand(prefix string) *cobra.Command {
	var o options
	var form string
	c := &cobra.Command{
		Use: "show ERASURE_ID", Short: "Show what became of an erasure",
		Long: `Show an erasure: who asked for it, and what became of it; -o json also names its events.` + about,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || eventflags.CheckID(args[0]) != nil {
				return cli.Usagef("%s takes one id of an erasure, a UUID: kubernaut erasure list shows them", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			at, err := o.open()
			if err != nil {
				return err
			}
			found, err := at.get(c.Context(), uuid.MustParse(args[0]), 0)
			if err != nil {
				return err
			}
			if form == output.Table {
				return printOutcome(c.OutOrStdout(), &found)
			}
			return show(c.OutOrStdout(), form, []datastorage.Erasure{found})
		},
		ValidArgsFunction: cli.CompleteName(func(ctx context.Context) ([]string, error) {
			at, err := o.open()
			if err != nil {
				return nil, err
			}
			found, _, err := at.list(ctx, "")
			names := make([]string, len(found))
			for i := range found {
				names[i] = found[i].ErasureId.String()
			}
			return names, err
		}),
	}
	return cli.WithFlags(c, prefix, o.declare, output.Declare(&form))
}
