package dedup_test

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// maxRuns bounds an exhaustive search: a scenario that needs more is too large.
const maxRuns = 20_000

// explored counts what a search did.
type explored struct{ runs, states int }

// exhaust runs a scenario in every order of its steps and with every fault
// that the budget allows, depth first. A state that was reached before, in
// another order of independent steps, is not continued again. It returns the
// first run that breaks a promise, or nil.
func exhaust(t *testing.T, s scenario) (*world, explored) {
	t.Helper()
	type node struct{ taken, choices int }
	var path []node
	seen := map[uint64]bool{}
	count := explored{}
	for count.runs < maxRuns {
		count.runs++
		depth := 0
		w := s.run(t, func(w *world, choices []choice) (int, bool) {
			if depth == len(path) {
				state := w.state()
				if seen[state] {
					return 0, false
				}
				seen[state] = true
				path = append(path, node{choices: len(choices)})
			}
			depth++
			return path[depth-1].taken, true
		})
		if w.facts.violation != nil {
			count.states = len(seen)
			return w, count
		}
		for len(path) > 0 && path[len(path)-1].taken+1 == path[len(path)-1].choices {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			count.states = len(seen)
			return nil, count
		}
		path[len(path)-1].taken++
	}
	t.Fatalf("more than %d runs: the scenario is too large", maxRuns)
	return nil, count
}

// sample runs a scenario in random orders, one for each seed.
func sample(t *testing.T, s scenario, seeds uint64) (*world, uint64) {
	t.Helper()
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 0))
		w := s.run(t, func(_ *world, choices []choice) (int, bool) {
			at := random.IntN(len(choices))
			// Most steps succeed, or the faults would all happen at the beginning.
			for choices[at].outcome != succeeds && random.IntN(20) > 0 {
				at = random.IntN(len(choices))
			}
			return at, true
		})
		if w.facts.violation != nil {
			return w, seed
		}
	}
	return nil, 0
}

// requireNone fails the test with the steps that led to a violation.
func requireNone(t *testing.T, w *world) {
	t.Helper()
	if w != nil {
		t.Fatalf("%v, after:\n  %s", w.facts.violation, strings.Join(w.trace, "\n  "))
	}
}
