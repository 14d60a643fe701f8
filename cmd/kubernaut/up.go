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
	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/httpserver"
)

// upFlags are the flags of kubernaut up.
type upFlags struct {
	stack     stack.Options
	addresses string
	log       cli.LogFlags
}

func upCommand() *cobra.Command {
	f := &upFlags{log: cli.LogFlags{Format: "console"}} // a person reads it, among the progress
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the whole platform on this machine until Ctrl-C",
		Long: `Run the whole platform on this machine until Ctrl-C: PostgreSQL and a Kubernetes
API server (both found on the machine or provided), DataStorage, SignalProcessing
and the Gateway. Everything listens on loopback.`,
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return up(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr()) },
	}
	c.Flags().StringVar(&f.stack.DataDir, "data", "", "folder that keeps what the stack stores; temporary where empty")
	c.Flags().StringVar(&f.addresses, "addresses", "", "JSON file to write the addresses to once everything is ready; removed at the end")
	c.Flags().StringVar(&f.stack.GatewayListen, "gateway-listen", "", "loopback host:port of the Gateway; a free port where empty")
	c.Flags().StringVar(&f.stack.DataStorageListen, "datastorage-listen", "", "loopback host:port of DataStorage; a free port where empty")
	f.log.AddTo(c.Flags())
	cli.Configure(c, "KUBERNAUT")
	return c
}

// prepare checks the flags and makes what the stack needs of them.
func (f *upFlags) prepare(stderr io.Writer) error {
	for flag, address := range map[string]string{"gateway-listen": f.stack.GatewayListen, "datastorage-listen": f.stack.DataStorageListen} {
		if address == "" {
			continue
		}
		loopback, err := httpserver.ParseAddress(flag, address)
		if err != nil {
			return err //nolint:wrapcheck // names the flag
		}
		if !loopback {
			return cli.Usagef("--%s %s: kubernaut up asks nobody who they are and listens on loopback addresses only", flag, address)
		}
	}
	if f.stack.DataDir != "" {
		absolute, err := filepath.Abs(f.stack.DataDir)
		if err != nil {
			return cli.Usagef("--data %s: %w", f.stack.DataDir, err)
		}
		f.stack.DataDir = absolute
	}
	if f.addresses != "" {
		if info, err := os.Stat(filepath.Dir(f.addresses)); err != nil || !info.IsDir() {
			return cli.Usagef("--addresses %s: its folder does not exist", f.addresses)
		}
	}
	log, err := f.log.New(stderr)
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	f.stack.Log = log
	f.stack.Progress = progress.To(stderr)
	return nil
}

func up(ctx context.Context, f *upFlags, out, stderr io.Writer) error {
	if err := f.prepare(stderr); err != nil {
		return err
	}
	if f.stack.DataDir == "" {
		f.stack.Progress.Sayf("data are temporary and go when this ends; --data DIR keeps them")
	}
	began := time.Now()
	s, err := stack.Start(ctx, f.stack)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted while starting")
		}
		return fmt.Errorf("start the stack: %w", err)
	}
	err = f.serve(ctx, s, out, time.Since(began))
	f.stack.Progress.Sayf("stopping")
	return errors.Join(err, s.Stop(ctx))
}

// serve tells where everything is and waits for the end.
func (f *upFlags) serve(ctx context.Context, s *stack.Stack, out io.Writer, took time.Duration) error {
	printAddresses(out, s.Addresses(), took)
	if f.addresses != "" {
		if err := s.Addresses().WriteFile(f.addresses); err != nil {
			return fmt.Errorf("tell other programs: %w", err)
		}
		defer func() { _ = os.Remove(f.addresses) }() // it may be gone already
	}
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
		{"", a.Management["datastorage"] + "  (DataStorage)"},
		{"requests", kubectl + " --kubeconfig " + a.Kubeconfig + " get rr,sp -A"},
	} {
		_, _ = fmt.Fprintf(table, "  %s\t%s\n", row[0], row[1])
	}
	_, _ = fmt.Fprintln(table)
	_ = table.Flush() // a terminal that went away is no concern of the stack
}
