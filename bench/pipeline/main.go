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

	"go.uber.org/zap"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/internal/kube"
)

// pairs of trials make a comparison.
const pairs = 5

// trace is set to print when each call of a remediation began.
var trace = flag.Bool("trace", false, "print when each call of a remediation began and how long it took")

func main() {
	only := flag.String("only", "", "measure one family alone: policy, processing, gateway, flood or remediation")
	flag.Parse()
	kube.LogTo(zap.NewNop())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv("SCALE"), *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench-pipeline:", err)
		os.Exit(1) //nolint:gocritic // the signals' handler ends with the process
	}
}

// families are what can be measured by itself.
var families = []struct {
	name    string
	measure func(context.Context, ratio.Scale, *ratio.Report) error
}{
	{"policy", measurePolicy},
	{"processing", measureProcessing},
	{"gateway", measureGateway},
	{"flood", measureFlood},
	{"remediation", measureRemediation},
}

func run(ctx context.Context, out io.Writer, scaleText, only string) error {
	scale, err := ratio.ParseScale(scaleText)
	if err != nil {
		return fmt.Errorf("read SCALE: %w", err)
	}
	report := ratio.NewReport(out)
	report.Figuref("%s, %d cores, scale %s", runtime.Version(), runtime.NumCPU(), scale)
	measured := false
	for _, family := range families {
		if only != "" && only != family.name {
			continue
		}
		measured = true
		if err := family.measure(ctx, scale, report); err != nil {
			return errors.Join(report.Err(), fmt.Errorf("measure %s: %w", family.name, err))
		}
	}
	if !measured {
		return fmt.Errorf("family %q: there is none of this name", only)
	}
	return report.Err() //nolint:wrapcheck // names the bars, and that is all there is to say
}
