// Command prepare provides the server programs that the suites need before a
// suite starts: it finds, installs, downloads or compiles them. The suites find
// what it left. They could do most of it themselves, but a test runner of many
// processes shows their progress only when they have ended.
//
// With --install it installs missing Debian packages without asking.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"kubernaut.ai/internal/devstack/consent"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/devstack/progress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	install := flag.Bool("install", false, "install missing Debian packages (PostgreSQL, as root) without asking")
	flag.Parse()
	if err := prepare(ctx, consent.NewConsole(*install, os.Stdin, os.Stderr)); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "prepare:", err)
		stop()
		os.Exit(1) //nolint:gocritic // what is deferred has been called
	}
}

func prepare(ctx context.Context, console *consent.Console) error {
	report := progress.To(console)
	programs, err := controlplane.Find(ctx, report)
	if err != nil {
		return fmt.Errorf("provide a control plane: %w", err)
	}
	server, err := postgres.Start(ctx, postgres.Options{Consent: console.Allow, Progress: report})
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
