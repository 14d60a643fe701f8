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
	"syscall"
	"time"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/devstack/progress"
)

// plan is how much is measured.
type plan struct {
	// pairs of trials make a comparison.
	pairs int
	// trial is how long one side of a pair is measured.
	trial time.Duration
	// sized is how many events the measurement of bytes stores.
	sized int
	// queried is how many events are searched, and firsts how often each search begins.
	queried, firsts int
}

func newPlan(scale ratio.Scale) plan {
	return plan{
		pairs: scale.Pick(3, 5),
		trial: time.Duration(scale.Pick(1_500, 10_000)) * time.Millisecond,
		sized: scale.Pick(20_000, 200_000), queried: scale.Pick(200_000, 5_000_000), firsts: scale.Pick(20, 100),
	}
}

func main() {
	only := flag.String("only", "", "measure one family alone: ingest, replay, size, query, sizing, standby or shards")
	bar := flag.String("bar", "", "measure one bar alone, of the families ingest, replay and query")
	data := flag.String("data", "", "folder of a PostgreSQL server that is kept, with the trails of the family query: later runs do not load them again")
	clientCores := flag.String("client-cores", "", "cores of the clients, for the family sizing: taskset -c 0 bench -only sizing -client-cores 1")
	profiles := flag.String("profiles", "", "folder for CPU profiles of the servers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if database := os.Getenv(serveVariable); database != "" {
		err = serve(ctx, database, *profiles)
	} else {
		err = run(ctx, os.Stdout, os.Getenv("SCALE"), &bench{only: *only, bar: *bar, data: *data, clientCores: *clientCores, profiles: *profiles})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-datastorage:", err)
		os.Exit(1) //nolint:gocritic // the signals' handler ends with the process
	}
}

// bench is what the families share.
type bench struct {
	plan

	// only and bar select what is measured; empty for everything.
	only, bar string
	// data is the folder of the server that is kept; empty for a temporary one.
	data string
	// clientCores are the cores of the clients, as taskset writes them; empty for those of the program.
	clientCores string
	// profiles is the folder for CPU profiles of the servers; empty for none.
	profiles string
	database *postgres.Server
	report   *ratio.Report
}

// family is what can be measured by itself.
type family struct {
	name    string
	measure func(*bench, context.Context) error
	// byName: it has figures and no bar, and is measured only if it is named.
	byName bool
}

var families = []family{
	{"ingest", (*bench).measureIngest, false},
	{"replay", (*bench).measureReplay, false},
	{"size", (*bench).measureSize, false},
	{"query", (*bench).measureQuery, false},
	{"sizing", (*bench).measureSizing, true},
	{"standby", (*bench).measureStandby, true},
	{"shards", (*bench).measureShards, true},
}

func run(ctx context.Context, out io.Writer, scaleText string, b *bench) (err error) {
	scale, err := ratio.ParseScale(scaleText)
	if err != nil {
		return fmt.Errorf("read SCALE: %w", err)
	}
	report := ratio.NewReport(out)
	report.Figuref("%s, %d cores, scale %s, events with %d bytes of data", runtime.Version(), runtime.NumCPU(), scale, len(eventData))
	b.plan, b.report = newPlan(scale), report
	if b.database, err = postgres.Start(ctx, postgres.Options{DataDir: b.data, Progress: progress.To(os.Stderr)}); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, b.database.Stop(context.WithoutCancel(ctx))) }()
	measured := false
	for _, family := range families {
		if b.only != family.name && (b.only != "" || family.byName) {
			continue
		}
		measured = true
		if err := family.measure(b, ctx); err != nil {
			return errors.Join(report.Err(), fmt.Errorf("measure %s: %w", family.name, err))
		}
	}
	if !measured {
		return fmt.Errorf("family %q: there is none of this name", b.only)
	}
	return report.Err() //nolint:wrapcheck // names the bars, and that is all there is to say
}
