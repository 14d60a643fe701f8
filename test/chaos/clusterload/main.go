// Command clusterload loads a deployed platform until it receives SIGTERM, while
// somebody upgrades it, and then checks that nothing was lost. Clients store events
// in DataStorage without a pause, and Alertmanagers send signals to the Gateway.
//
// It prints one line, and exits with 1 if an acknowledged event, or an event that the
// answer to a signal implies, is missing or stored twice, or if a client was refused
// for longer than -max-refused:
//
//	upgrade-on-kind rollouts <n> accepted <n> lost 0 doubled 0 max-refused-ms <n> …
//
// The variables of cluster.FromEnvironment say where the platform is.
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

	"golang.org/x/sync/errgroup"

	"kubernaut.ai/test/testenv/cluster"
	"kubernaut.ai/test/verdict"
)

// timeout bounds the run: tokens are valid for two hours.
const timeout = 90 * time.Minute

func main() {
	rollouts := flag.Int("rollouts", 1, "how often DataStorage is rolled out meanwhile, for the line that is printed")
	maxRefused := flag.Duration("max-refused", 5*time.Second, "bound on the time from the first refusal of a request to its acknowledgement") //nolint:mnd // a default
	flag.Parse()
	if err := run(*rollouts, *maxRefused); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "clusterload:", err)
		os.Exit(1)
	}
}

func run(rollouts int, maxRefused time.Duration) (err error) {
	enough, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	shared, err := cluster.Prepare(ctx, cluster.FromEnvironment())
	if shared != nil {
		defer func() { err = errors.Join(err, shared.Remove(ctx)) }()
	}
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	encoded, err := shared.Encode()
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	env, err := cluster.Join(ctx, encoded)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() { err = errors.Join(err, env.Close(ctx)) }()
	return loadAndCheck(ctx, enough, env, &verdict.Result{Disruptions: rollouts}, maxRefused)
}

// loadAndCheck sends until enough is done, prints the line, and returns what failed.
func loadAndCheck(ctx, enough context.Context, env *cluster.Env, result *verdict.Result, maxRefused time.Duration) error {
	events, signals := newEventLoad(env), newSignalLoad(env)
	group, sending := errgroup.WithContext(ctx)
	events.start(sending, group, enough)
	signals.start(sending, group, enough)
	_, _ = fmt.Fprintln(os.Stderr, "clusterload: sending")
	if err := group.Wait(); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	_, _ = fmt.Fprintln(os.Stderr, "clusterload: checking")
	if err := env.AwaitRollout(ctx, cluster.Workloads...); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if err := errors.Join(events.check(ctx, result), signals.check(ctx, result)); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	result.AddFigure("max-refused-ms", events.refused.Milliseconds())
	result.AddFigure("max-wait-ms", events.waited.Milliseconds())
	result.AddFigure("refusals", int64(events.refusals))
	result.AddFigure("signals", int64(len(signals.Answers())))
	_, _ = fmt.Fprintln(os.Stdout, result.Line("upgrade-on-kind", "rollouts"))
	if events.longest != nil {
		_, _ = fmt.Fprintln(os.Stderr, "clusterload: the longest refusal began with:", events.longest)
	}
	err := result.Err()
	if events.refused > maxRefused {
		err = errors.Join(err, fmt.Errorf("a request was refused for %s, longer than %s", events.refused, maxRefused))
	}
	return err
}
