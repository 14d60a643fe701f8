package memory_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/memory"
)

func TestBoundsThatDoNotFitAreRefusedByName(t *testing.T) {
	t.Parallel()
	plan := &memory.Plan{Limit: 100 * mib, Uses: []memory.Use{
		{Name: "bodies", Flags: "--max-body-memory", Bytes: 40 * mib}, {Name: "pages", Flags: "--max-page-memory", Bytes: 40 * mib},
	}}
	if err := plan.Check(); err != nil {
		t.Errorf("80 MiB and the program's 20 of 100: %v", err)
	}
	plan.Uses[1].Bytes++
	err := plan.Check()
	var usage *cli.UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "--max-page-memory") || !strings.Contains(err.Error(), "GOMEMLIMIT") {
		t.Errorf("one byte more: %v", err)
	}
}

func TestMetricsShowEachBoundAndItsUse(t *testing.T) {
	t.Parallel()
	b := memory.NewBudget(100)
	a := b.Open("a", nil)
	defer a.Close()
	take(t, a, 60)
	if a.Take(t.Context(), 200) == nil {
		t.Error("got more than there is")
	}
	plan := &memory.Plan{Limit: 200, Uses: []memory.Use{{Name: "bodies", Bytes: 100, Budget: b}}}
	want := `
# HELP kubernaut_memory_bound_bytes Bound on the memory of a use.
# TYPE kubernaut_memory_bound_bytes gauge
kubernaut_memory_bound_bytes{use="bodies"} 100
# HELP kubernaut_memory_refused_total Requests that were refused with 503 because they got no memory of a use.
# TYPE kubernaut_memory_refused_total counter
kubernaut_memory_refused_total{use="bodies"} 1
# HELP kubernaut_memory_used_bytes Memory that is charged to a use.
# TYPE kubernaut_memory_used_bytes gauge
kubernaut_memory_used_bytes{use="bodies"} 60
`
	if err := testutil.CollectAndCompare(plan, strings.NewReader(want),
		"kubernaut_memory_bound_bytes", "kubernaut_memory_used_bytes", "kubernaut_memory_refused_total"); err != nil {
		t.Error(err)
	}
}

func TestTheLogSaysOnceThatMemoryIsInUseAndOnceThatItIsFree(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.InfoLevel)
	b := memory.NewBudget(100)
	b.Report("bodies", "--max-body-memory", zap.New(core))
	a := b.Open("a", nil)
	take(t, a, 60)
	for range 3 {
		_ = a.Take(t.Context(), 200)
	}
	a.Close()
	if got := logs.All(); len(got) != 2 || got[0].Level != zapcore.WarnLevel || got[1].Level != zapcore.InfoLevel {
		t.Errorf("logged %v", got)
	}
}
