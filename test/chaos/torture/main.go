// Command torture kills the platform's programs repeatedly under load, and prints
// one line for each scenario:
//
//	torture <name> kills <n> accepted <n> lost 0 doubled 0
//
// It exits with 1 if anything was lost or doubled. The arguments name scenarios;
// without arguments it runs all but upgrade. SCALE=full multiplies the kills. The
// programs are expected next to its own binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"

	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/test/chaos"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/verdict"
)

// Bounds of a scenario at any scale, and of stopping the servers.
const (
	scenarioTimeout = 2 * time.Hour
	stopTimeout     = 30 * time.Second
)

// scenario kills one program.
type scenario struct {
	name, program string
	run           func(context.Context, chaos.Options) (verdict.Result, error)
	// kills by default and at full scale.
	kills, fullKills int
	// named: it runs only if it is named.
	named bool
}

var scenarios = []scenario{
	{"audit-spool", "recorder", chaos.Spool, 500, 2400, false},
	// They kill servers, not one of our programs.
	{"failover", "", chaos.Failover, 3, 10, false},
	{"pooler", "", chaos.Pooler, 10, 100, false},
	{"proxy", "recorder", chaos.Proxy, 200, 1200, false},
	{"gateway", "gateway", chaos.Gateway, 20, 200, false},
	{"signalprocessing", "signalprocessing", chaos.SignalProcessing, 20, 200, false},
	{"datastorage", "datastorage", chaos.DataStorage, 80, 1500, false},
	{"slow", "datastorage", chaos.Slow, 200, 1000, false},
	{"memory", "datastorage", chaos.Memory, 15, 60, false}, // seconds
	// Each call once, and so many at random. Its controllers run until the end.
	{"workflowexecution", "workflowexecution", chaos.WorkflowExecution, 20, 200, false},
	// Steps of an upgrade from the binary that OLDER_DATASTORAGE names.
	{"upgrade", "datastorage", chaos.Upgrade, 1, 1, true},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := torture(ctx, os.Args[1:], progress.To(os.Stderr))
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func torture(ctx context.Context, names []string, report progress.Func) (err error) {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	full, err := fullScale()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("locate the programs: %w", err)
	}
	shared, err := testenv.Start(ctx, testenv.Options{Progress: report})
	if err != nil {
		return fmt.Errorf("start servers: %w", err)
	}
	defer func() { err = errors.Join(err, stopShared(ctx, shared)) }()
	encoded, err := shared.Encode()
	if err != nil {
		return fmt.Errorf("start servers: %w", err)
	}
	env, err := testenv.Join(ctx, encoded, zap.NewNop())
	if err != nil {
		return fmt.Errorf("start servers: %w", err)
	}
	defer func() { err = errors.Join(err, env.Close()) }()

	seed, err := chooseSeed()
	if err != nil {
		return err
	}
	report.Sayf("SEED=%d", seed)
	var failures []error
	for _, s := range chosen {
		o := chaos.Options{
			Env: env, ControlPlane: shared.ControlPlane, Program: chaos.Program{Path: filepath.Join(filepath.Dir(self), s.program)},
			Older: os.Getenv("OLDER_DATASTORAGE"), Kills: s.kills, Full: full, Seed: seed, Progress: report,
		}
		if full {
			o.Kills = s.fullKills
		}
		failures = append(failures, s.torture(ctx, o))
	}
	return errors.Join(failures...)
}

// torture runs the scenario and prints its line.
func (s *scenario) torture(ctx context.Context, o chaos.Options) error {
	ctx, cancel := context.WithTimeout(ctx, scenarioTimeout)
	defer cancel()
	result, err := s.run(ctx, o)
	if err != nil {
		return fmt.Errorf("%s: after %d kills: %w", s.name, result.Disruptions, err)
	}
	_, _ = fmt.Fprintln(os.Stdout, result.Line("torture "+s.name, "kills"))
	if err := result.Err(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

func choose(names []string) ([]scenario, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return s.named }), nil
	}
	var chosen []scenario
	for _, name := range names {
		at := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if at < 0 {
			return nil, fmt.Errorf("unknown scenario %q", name)
		}
		chosen = append(chosen, scenarios[at])
	}
	return chosen, nil
}

// fullScale reads SCALE.
func fullScale() (bool, error) {
	switch scale := os.Getenv("SCALE"); scale {
	case "", "small":
		return false, nil
	case "full":
		return true, nil
	default:
		return false, fmt.Errorf("SCALE=%s: want small or full", scale)
	}
}

// chooseSeed reads SEED, or returns a random one.
func chooseSeed() (uint64, error) {
	text := os.Getenv("SEED")
	if text == "" {
		return rand.Uint64(), nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("SEED=%s: want an unsigned integer", text)
	}
	return seed, nil
}

func stopShared(ctx context.Context, shared *testenv.Shared) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := shared.Stop(ctx); err != nil {
		return fmt.Errorf("stop the servers: %w", err)
	}
	return nil
}
