package audit_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"kubernaut.ai/pkg/audit/spool/spooltest"
)

var (
	modelSeeds = flag.Uint64("model.seeds", 100, "how many random programs TestModel runs")
	modelFirst = flag.Uint64("model.first", 0, "the seed of the first random program of TestModel")
)

// TestModel runs random programs over a store and compares it with a reference
// model (see ledger) after each step. One seed is run again with
// -model.first=SEED -model.seeds=1.
func TestModel(t *testing.T) {
	t.Parallel()
	const shards = 4
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint("shard ", shard), func(t *testing.T) {
			t.Parallel()
			for seed := *modelFirst + shard; seed < *modelFirst+*modelSeeds; seed += shards {
				runProgram(t, fmt.Sprint("seed ", seed), randomProgram(seed))
			}
		})
	}
}

// FuzzStore explores the programs of TestModel.
func FuzzStore(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomProgram(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { runProgram(t, "fuzzed", data) })
}

// runProgram runs a program, and reports the promise that it breaks together
// with the few steps that do. It can be replayed: by its seed, or by its bytes
// in FuzzStore.
func runProgram(t *testing.T, name string, data []byte) {
	t.Helper()
	p := parse(data)
	if broken := p.inBubble(t); broken != nil {
		shortest, as := p.shrink(t)
		t.Errorf("%s: %v\n%s\nas few steps as possible: %v\n%v", name, broken, hex.EncodeToString(data), as, shortest)
	}
}

// inBubble runs a program in its own bubble.
func (p *program) inBubble(t *testing.T) (broken error) {
	t.Helper()
	// A panic, like that of a bubble in which everybody waits forever, names its program as well.
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%v\n%v", r, p)
			panic(r)
		}
	}()
	synctest.Test(t, func(t *testing.T) { broken = p.run(t.Context()) })
	return broken
}

// shrink drops steps for as long as a promise is broken.
func (p *program) shrink(t *testing.T) (*program, error) {
	t.Helper()
	shortest := *p
	var broken error
	for size := len(p.steps) / 2; size > 0; {
		dropped := false
		for at := 0; at+size <= len(shortest.steps); {
			tried := shortest
			tried.steps = slices.Delete(slices.Clone(shortest.steps), at, at+size)
			if err := tried.inBubble(t); err != nil {
				shortest, broken, dropped = tried, err, true
			} else {
				at += size
			}
		}
		if !dropped || size > 1 {
			size /= 2
		}
	}
	return &shortest, broken
}

// TestModelNoticesALyingDisk shows that the model is worth something.
func TestModelNoticesALyingDisk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		p := parse(randomProgram(seed))
		p.disk = []spooltest.Option{spooltest.WithLyingSync()}
		if p.inBubble(t) != nil {
			return
		}
	}
	t.Error("a disk that keeps nothing went unnoticed")
}
