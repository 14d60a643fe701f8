package policy_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/policy"
)

// watched is a source over a directory, with what it reported.
type watched struct {
	*policy.Source

	dir      string
	mu       sync.Mutex
	changes  []policy.Change // guarded by mu
	refuse   error           // guarded by mu: what Report answers
	log      *observer.ObservedLogs
	registry *prometheus.Registry
}

// watch starts a source over a directory with one policy. Call it in a bubble.
func watch(t *testing.T, text string) *watched {
	t.Helper()
	core, log := observer.New(zap.InfoLevel)
	w := &watched{dir: t.TempDir(), log: log, registry: prometheus.NewRegistry()}
	w.write(t, "policy.rego", text)
	var err error
	w.Source, err = policy.NewSource(t.Context(), policy.SourceOptions{
		Dir: w.dir, Service: "test", Clock: clock.RealClock{}, Log: zap.New(core), Registerer: w.registry,
		Report: func(_ context.Context, c policy.Change) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.refuse == nil {
				w.changes = append(w.changes, c)
			}
			return w.refuse
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// reported are the changes that were reported.
func (w *watched) reported() []policy.Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.changes)
}

// answer sets what Report answers.
func (w *watched) answer(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = err
}

func (w *watched) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// next waits until the source has looked.
func (w *watched) next() {
	<-time.After(policy.ReloadEvery) // of the bubble's clock
	synctest.Wait()
}

func (w *watched) expectRejected(t *testing.T, gauge float64, rejected int) {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "test_policy_rejected" && family.GetMetric()[0].GetGauge().GetValue() != gauge {
			t.Errorf("test_policy_rejected %v, want %v", family.GetMetric()[0].GetGauge().GetValue(), gauge)
		}
	}
	n := 0
	for _, c := range w.reported() {
		if c.Err != nil {
			n++
		}
	}
	if n != rejected {
		t.Errorf("%d rejections reported, want %d: %+v", n, rejected, w.reported())
	}
}

var changed = strings.ReplaceAll(valid, `"P1"`, `"P0"`)

func TestAChangedDirectoryIsPutInForceWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, valid)
		first := w.Current()
		w.next()
		if w.Current() != first || len(w.reported()) != 1 {
			t.Fatalf("an unchanged directory was loaded again: %+v", w.reported())
		}
		w.write(t, "policy.rego", changed)
		w.next()
		second := w.Current()
		if second == first || len(w.reported()) != 2 || w.reported()[1].Policy != second.Policy() || w.reported()[1].InForce != first.Policy() {
			t.Fatalf("changes %+v", w.reported())
		}
		w.write(t, "policy_test.rego", validTest)
		w.next()
		if len(w.reported()) != 3 || w.Current().Policy() != second.Policy() {
			t.Errorf("a new test is a bundle to check with the same policies: %+v", w.reported())
		}
		w.expectRejected(t, 0, 0)
	})
}

func TestAnUnusableDirectoryIsRejectedOnceAndTheLastGoodOneStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, valid)
		good := w.Current()
		w.write(t, "policy.rego", valid+"\nx := {")
		w.next()
		w.next()
		w.expectRejected(t, 1, 1)
		if w.Current() != good || w.reported()[1].Policy.SHA256 == good.Policy().SHA256 || w.reported()[1].Policy.Origin != w.dir {
			t.Errorf("changes %+v", w.reported())
		}
		if n := w.log.FilterLevelExact(zap.ErrorLevel).Len(); n != 1 {
			t.Errorf("%d errors logged, want 1", n)
		}
		if err := os.Remove(filepath.Join(w.dir, "policy.rego")); err != nil {
			t.Fatal(err)
		}
		w.next()
		w.next()
		w.expectRejected(t, 1, 2)
		w.write(t, "policy.rego", valid)
		w.next()
		w.expectRejected(t, 0, 2)
		if w.Current() != good {
			t.Error("the same policies were loaded again")
		}
		w.write(t, "policy.rego", changed)
		w.next()
		if w.Current() == good {
			t.Error("new policies are not in force")
		}
	})
}

func TestPoliciesThatCannotBeRecordedWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, valid)
		good := w.Current()
		w.answer(errors.New("the store is full"))
		w.write(t, "policy.rego", changed)
		w.next()
		if w.Current() != good {
			t.Fatal("policies are in force that nobody recorded")
		}
		w.answer(nil)
		w.next()
		if w.Current() == good {
			t.Error("the policies still wait")
		}
	})
}

func TestUnusablePoliciesAtTheStartAreAnError(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"missing": filepath.Join(t.TempDir(), "missing"), "empty": t.TempDir()} {
		_, err := policy.NewSource(t.Context(), policy.SourceOptions{Dir: dir, Service: "test", Registerer: prometheus.NewRegistry()})
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheBuiltInPoliciesNeedNoDirectory(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	var changes []policy.Change
	s, err := policy.NewSource(t.Context(), policy.SourceOptions{
		Service: "test", Log: zap.NewNop(), Registerer: registry, Clock: clock.RealClock{},
		Report: func(_ context.Context, c policy.Change) error {
			changes = append(changes, c)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(changes) != 1 || changes[0].Policy.Origin != policy.OriginBuiltIn || changes[0].Err != nil {
		t.Errorf("changes %+v", changes)
	}
	const want = "# HELP test_policy_loads_total Policy bundles that were found, by result.\n# TYPE test_policy_loads_total counter\n" +
		"test_policy_loads_total{result=\"accepted\"} 1\ntest_policy_loads_total{result=\"rejected\"} 0\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "test_policy_loads_total"); err != nil {
		t.Error(err)
	}
}
