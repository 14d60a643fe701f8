// Package stores is the command that shows what the audit stores of a cluster's
// pods still hold, and settles rejected and lost events.
package stores

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit/control"
)

// options are the flags of all commands here.
type options struct {
	connection.Flags

	controlPort int
	workload    string
	output      string
}

func (o *options) declare(f *cli.Flags) {
	o.Declare(f, "workloads")
	f.Int(&o.controlPort, "control-port", control.DefaultPort, "port of --control-listen in the pods", cli.AtMost(65535))
}

func (o *options) declareWorkload(f *cli.Flags) {
	f.String(&o.workload, "workload", "", "name of a StatefulSet, or deployment/NAME; none: all StatefulSets of the platform", cli.Check(checkWorkload))
}

func (o *options) declareOutput(f *cli.Flags) {
	f.String(&o.output, "output", "table", "form of the output: table or json", cli.OneOf("table", "json"), cli.Shorthand("o"))
}

// add adds the flags to a command.
func add(c *cobra.Command, prefix string, declare ...func(*cli.Flags)) *cobra.Command {
	var flags cli.Flags
	for _, d := range declare {
		d(&flags)
	}
	flags.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

// Command makes the command stores. The flags of its commands can also be set by
// environment variables with the prefix.
func Command(prefix string) *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:   "stores [WORKLOAD]",
		Short: "Show what each pod's audit store still holds, and settle it",
		Long: `Show what the audit store of each pod of a workload still holds: pending events,
what is rejected or lost, and how its spool and its connection to DataStorage do;
and the volumes of replicas that no longer exist. Without WORKLOAD, all StatefulSets
of the platform in the namespace are shown, and the Deployments that have a spool.

The pods are asked on their control listener, by port-forward: the caller needs the
rights to list pods and to create pods/portforward.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return cli.Usagef("%s takes one workload at most, got %q", c.CommandPath(), args)
			}
			if len(args) == 1 {
				if err := checkWorkload(args[0]); err != nil {
					return cli.Usagef("%s: %q: %w", c.CommandPath(), args[0], err)
				}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.workload = args[0]
			}
			return showStates(c.Context(), c.OutOrStdout(), &o)
		},
	}
	add(root, prefix, o.declare, o.declareOutput)
	root.AddCommand(quarantineCommand(prefix), acknowledgeCommand(prefix))
	return root
}

func quarantineCommand(prefix string) *cobra.Command {
	root := cli.Group(&cobra.Command{Use: "quarantine", Short: "List, show and retry rejected events"})

	var listing options
	list := &cobra.Command{
		Use: "list", Short: "List the rejected and lost events that nobody acknowledged", Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return listQuarantine(c.Context(), c.OutOrStdout(), &listing)
		},
	}
	var showing options
	var sensitive bool
	show := &cobra.Command{
		Use: "show ID", Short: "Print a rejected event with its contents",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("%s takes the id of one event, got %q", c.CommandPath(), args)
			}
			_, err := parseIDs(args)
			return err
		},
		RunE: func(c *cobra.Command, args []string) error {
			return showQuarantined(c.Context(), c.OutOrStdout(), &showing, uuid.MustParse(args[0]), sensitive)
		},
	}
	var retrying options
	var all bool
	retry := &cobra.Command{
		Use: "retry [ID...]", Short: "Send rejected events again, once their cause is repaired",
		Args: func(_ *cobra.Command, args []string) error {
			_, err := parseIDs(args)
			return err
		},
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 0) != all {
				return cli.Usagef("%s: name the events to retry, or say --all", c.CommandPath())
			}
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			return retryQuarantined(c.Context(), c.OutOrStdout(), &retrying, ids)
		},
	}
	root.AddCommand(
		add(list, prefix, listing.declare, listing.declareWorkload, listing.declareOutput),
		add(show, prefix, showing.declare, showing.declareWorkload, func(f *cli.Flags) {
			f.Bool(&sensitive, "show-sensitive", false, "include the data of an event that is marked as sensitive")
		}),
		add(retry, prefix, retrying.declare, retrying.declareWorkload, func(f *cli.Flags) {
			f.Bool(&all, "all", false, "retry all rejected events")
		}),
	)
	return root
}

func acknowledgeCommand(prefix string) *cobra.Command {
	var o options
	var a acknowledgement
	c := &cobra.Command{
		Use:   "acknowledge ID...",
		Short: "Take note of rejected or lost events, so that flushes no longer report them",
		Long: `Take note of rejected or lost events, so that flushes no longer report them. This
command creates the acknowledgement in DataStorage, through the API server and under
your own name, and hands its id to each pod that reports one of the events. The pod
reads the record back before it forgets anything.

With --recorder no pod is asked: the record is created for events on a volume without
a pod, and its id is printed for the spool command's adopt --acknowledgement. With
--record an acknowledgement that exists is handed to the pods again.`,
		Args: func(_ *cobra.Command, args []string) error {
			_, err := parseIDs(args)
			return err
		},
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if a.ids, err = parseIDs(args); err != nil {
				return err
			}
			if err := a.check(); err != nil {
				return fmt.Errorf("%s: %w", c.CommandPath(), err)
			}
			return a.run(c.Context(), c.OutOrStdout(), &o)
		},
	}
	return add(c, prefix, o.declare, o.declareWorkload, func(f *cli.Flags) {
		f.String(&a.reason, "reason", "", "why the events will not be stored; part of the record")
		f.String(&a.recorder, "recorder", "", "recorder of events on a volume without a pod, as in system:serviceaccount:kubernaut-system:gateway")
		f.String(&a.record, "record", "", "id of an acknowledgement that exists", cli.Check(checkID))
	})
}

func checkID(text string) error {
	if _, err := uuid.Parse(text); err != nil {
		return errors.New("want an id, a UUID")
	}
	return nil
}

// parseIDs takes the ids of events, each once.
func parseIDs(args []string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, 0, len(args))
	seen := make(map[uuid.UUID]bool, len(args))
	for _, text := range args {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, cli.Usagef("%q: want the id of an event, a UUID", text)
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// eachPod connects to the pods of the workloads, one after the other, and calls
// do. The error joins what failed; the other pods are done nevertheless.
func eachPod(ctx context.Context, o *options, do func(pod, *control.Client) error) error {
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	found, err := cluster.find(ctx, o.workload)
	if err != nil {
		return err
	}
	var failed []error
	for _, w := range found {
		for _, p := range w.pods {
			if err := cluster.ask(ctx, p, func(c *control.Client) error { return do(p, c) }); err != nil {
				failed = append(failed, fmt.Errorf("pod %s: %w", p.name, err))
			}
		}
	}
	return errors.Join(failed...)
}

// plural is for texts like "1 event" and "2 events".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func joinIDs(ids []uuid.UUID) string {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		texts = append(texts, id.String())
	}
	return strings.Join(texts, ", ")
}
