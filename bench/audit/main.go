package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"

	"kubernaut.ai/bench/ratio"
)

// cores are what the bars are defined on, whatever the machine has.
const cores = 2

// plan is how much is measured.
type plan struct {
	// dir is where the spools lie: its disk decides what an fsync costs.
	dir string
	// pairs of trials make a comparison.
	pairs int
	// allocRuns are the calls over which allocations are averaged.
	allocRuns int
	// crowds are how often a thousand flushes meet one batch.
	crowds int
	// spoolEvents are recorded durably in a trial.
	spoolEvents int
	// recoverEvents are read back at start-up.
	recoverEvents int
}

func newPlan(scale ratio.Scale, dir string) plan {
	return plan{
		dir:           dir,
		pairs:         scale.Pick(31, 101),
		allocRuns:     scale.Pick(100_000, 1_000_000),
		crowds:        scale.Pick(20, 200),
		spoolEvents:   scale.Pick(3_000, 12_000),
		recoverEvents: scale.Pick(200_000, 1_000_000),
	}
}

func main() {
	dir := flag.String("dir", os.TempDir(), "where spools are written for the time of the run: a real disk, no tmpfs")
	only := flag.String("only", "", "measure one family alone: record, flush, pending or spool")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv("SCALE"), *dir, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench-audit:", err)
		os.Exit(1) //nolint:gocritic // the signals' handler ends with the process
	}
}

// families are what can be measured by itself.
var families = []struct {
	name    string
	measure func(context.Context, plan, *ratio.Report) error
}{
	{"record", measureRecord},
	{"flush", measureFlush},
	{"pending", measurePending},
	{"spool", measureSpool},
}

func run(ctx context.Context, out io.Writer, scaleText, dir, only string) error {
	scale, err := ratio.ParseScale(scaleText)
	if err != nil {
		return fmt.Errorf("read SCALE: %w", err)
	}
	runtime.GOMAXPROCS(cores)
	p := newPlan(scale, dir)
	report := ratio.NewReport(out)
	report.Figuref("%s, %d of %d cores, scale %s, events of %d bytes", runtime.Version(), cores, runtime.NumCPU(), scale, eventBytes)

	measured := false
	for _, family := range families {
		if only != "" && only != family.name {
			continue
		}
		measured = true
		if err := family.measure(ctx, p, report); err != nil {
			return errors.Join(report.Err(), fmt.Errorf("measure %s: %w", family.name, err))
		}
	}
	if !measured {
		return fmt.Errorf("family %q: there is none of this name", only)
	}
	return report.Err() //nolint:wrapcheck // names the bars, and that is all there is to say
}
