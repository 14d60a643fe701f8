// Command prepare provides, before a suite starts, what takes long the first
// time: server programs that have to be installed, downloaded or compiled. The
// suites would do that too, but a test runner of many processes shows what
// they say only when they have ended.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/devstack/progress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := prepare(ctx, progress.To(os.Stderr)); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "prepare:", err)
		stop()
		os.Exit(1) //nolint:gocritic // what is deferred has been called
	}
}

func prepare(ctx context.Context, report progress.Func) error {
	programs, err := controlplane.Find(ctx, report)
	if err != nil {
		return fmt.Errorf("provide a control plane: %w", err)
	}
	server, err := postgres.Start(ctx, postgres.Options{Progress: report})
	if err != nil {
		return fmt.Errorf("provide PostgreSQL: %w", err)
	}
	report.Sayf("control plane: %s; database: %s", programs.Origin, server.Origin())
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		return errors.Join(errors.New("stop PostgreSQL"), err)
	}
	return nil
}
