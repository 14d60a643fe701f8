package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/stack"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/devstack/consent"
	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/devstack/supervise"
	"kubernaut.ai/internal/httpserver"
)

// installUsage describes --install of every command that provides PostgreSQL.
const installUsage = "install missing Debian packages (PostgreSQL, as root) without asking"

// upFlags are the flags of kubernaut up.
type upFlags struct {
	stack     stack.Options
	addresses string
	install   bool
	log       cli.LogFlags
}

func upCommand() *cobra.Command {
	f := &upFlags{log: cli.LogFlags{Format: "console"}} // for people, between the lines of progress
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the whole platform on this machine until Ctrl-C",
		Long: `Run the whole platform on this machine until Ctrl-C: PostgreSQL and a Kubernetes
control plane (both found on the machine or provided), DataStorage, SignalProcessing,
WorkflowExecution with the shipped workflows, and the Gateway. Everything listens on
loopback. The control plane has an API server and its controllers, but no node: pods
are created and do not run.`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return up(c.Context(), f, c.OutOrStdout(), consent.NewConsole(f.install, c.InOrStdin(), c.ErrOrStderr()))
		},
	}
	var flags cli.Flags
	flags.String(&f.stack.DataDir, "data", "", "directory for everything that the stack stores; none: a temporary one")
	flags.String(&f.addresses, "addresses", "", "JSON file to write the addresses to once everything is ready; removed at the end")
	flags.String(&f.stack.GatewayListen, "gateway-listen", "", "loopback host:port of the Gateway; none: a free port", cli.Check(checkListen))
	flags.String(&f.stack.DataStorageListen, "datastorage-listen", "", "loopback host:port of DataStorage; none: a free port", cli.Check(checkListen))
	flags.Bool(&f.install, "install", false, installUsage)
	flags.AddTo(c.Flags())
	f.log.AddTo(c.Flags())
	cli.Configure(c, prefix)
	return c
}

// checkListen checks an address to listen on.
func checkListen(address string) error {
	if err := httpserver.CheckLoopback(address); err != nil {
		return fmt.Errorf("kubernaut up has no authentication, so it listens on loopback addresses only: %w", err)
	}
	return nil
}

// prepare completes the options of the stack.
func (f *upFlags) prepare(console *consent.Console) error {
	if f.stack.DataDir != "" {
		absolute, err := filepath.Abs(f.stack.DataDir)
		if err != nil {
			return cli.Usagef("--data %s: %w", f.stack.DataDir, err)
		}
		f.stack.DataDir = absolute
	}
	if f.addresses != "" {
		if info, err := os.Stat(filepath.Dir(f.addresses)); err != nil || !info.IsDir() {
			return cli.Usagef("--addresses %s: its directory does not exist", f.addresses)
		}
	}
	log, err := f.log.New(console)
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	f.stack.Log = log
	f.stack.Progress = progress.To(console)
	f.stack.Consent = console.Allow
	return nil
}

func up(ctx context.Context, f *upFlags, out io.Writer, console *consent.Console) error {
	if err := f.prepare(console); err != nil {
		return err
	}
	if f.stack.DataDir == "" {
		f.stack.Progress.Sayf("everything is stored in a temporary directory and removed at the end; --data DIR keeps it")
	}
	began := time.Now()
	s, err := stack.Start(ctx, f.stack)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted while starting")
		}
		if errors.Is(err, supervise.ErrInUse) {
			return cli.Usagef("--data %s: another kubernaut up stores there: stop it, or choose another directory with --data", f.stack.DataDir)
		}
		return fmt.Errorf("start the stack: %w", err)
	}
	err = f.serve(ctx, s, out, time.Since(began))
	f.stack.Progress.Sayf("stopping")
	return errors.Join(err, s.Stop(ctx))
}

// serve prints and writes the addresses, and waits for the end.
func (f *upFlags) serve(ctx context.Context, s *stack.Stack, out io.Writer, took time.Duration) error {
	if f.addresses != "" {
		if err := s.Addresses().WriteFile(f.addresses); err != nil {
			return fmt.Errorf("write the addresses: %w", err)
		}
		defer func() { _ = os.Remove(f.addresses) }() // it may be gone already
	}
	// The file is complete by now, so that a program can wait for this output.
	printAddresses(out, s.Addresses(), took)
	select {
	case <-ctx.Done():
		return nil
	case <-s.Failed():
		return errors.New("a service ended by itself")
	}
}

func printAddresses(out io.Writer, a stack.Addresses, took time.Duration) {
	kubectl := "kubectl"
	if a.Kubectl != "" {
		kubectl = a.Kubectl
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "\nKubernaut is up (%s). Ctrl-C stops it.\n\n", took.Round(100*time.Millisecond))
	for _, row := range [][2]string{
		{"Gateway", a.Gateway + "/api/v1/signals/prometheus  (Alertmanager's webhook address)"},
		{"DataStorage", a.DataStorage + "/api/v1/audit/events"},
		{"management", "/readyz, /metrics and POST /audit/flush of each service:"},
		{"", a.Management["gateway"] + "  (Gateway)"},
		{"", a.Management["signalprocessing"] + "  (SignalProcessing)"},
		{"", a.Management["workflowexecution"] + "  (WorkflowExecution)"},
		{"", a.Management["datastorage"] + "  (DataStorage)"},
		{"", a.Maintenance + "  (DataStorage's maintenance, without a flush)"},
		{"requests", kubectl + " --kubeconfig " + a.Kubeconfig + " get rr,wfe -A"},
		{"proposals", "kubernaut executions -A --kubeconfig " + a.Kubeconfig + " --context " + a.User},
		{"story", "kubernaut trail REQUEST --datastorage-url " + a.DataStorage},
	} {
		_, _ = fmt.Fprintf(table, "  %s\t%s\n", row[0], row[1])
	}
	_, _ = fmt.Fprintln(table)
	_ = table.Flush() // the stack keeps running if the terminal has gone away
}
