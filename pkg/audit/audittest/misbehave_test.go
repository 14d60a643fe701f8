package audittest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit/audittest"
)

// misbehaviour describes what a sink did with each of n writes, in a bubble.
func misbehaviour(t *testing.T, seed uint64, odds audittest.Odds, n int) []string {
	t.Helper()
	beneath := audittest.NewMemorySink()
	sink := audittest.NewFaultySink(beneath, nil)
	if err := sink.Misbehave(rand.NewPCG(seed, 0), odds); err != nil {
		t.Fatal(err)
	}
	did := make([]string, n)
	for i := range did {
		began, stored, writes := time.Now(), len(beneath.Events()), beneath.Writes()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		ack, err := sink.Write(ctx, batchOf(1))
		cancel()
		did[i] = fmt.Sprintf("err=%v stored=%d writes=%d", err, len(beneath.Events())-stored, beneath.Writes()-writes)
		if ack.Duplicates > 0 {
			did[i] += " duplicate"
		}
		if took := time.Since(began); took == time.Hour {
			did[i] += " hung"
		} else if took > 0 {
			did[i] += " slow"
		}
	}
	return did
}

func TestMisbehaveMixesByItsOdds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		odds := audittest.Odds{
			Fail: 0.1, FailAfterStoring: 0.1, Hang: 0.1, Slow: 0.1, LongestDelay: time.Minute, Duplicate: 0.2,
		}
		did := misbehaviour(t, 1, odds, 300)
		seen := make(map[string]int)
		for _, what := range did {
			seen[what]++
		}
		for what, expected := range map[string]int{
			"err=<nil> stored=1 writes=1":                                       120,
			"err=sink misbehaves stored=0 writes=0":                             30,
			"err=sink misbehaves stored=1 writes=1":                             30,
			"err=faulty sink: context deadline exceeded stored=0 writes=0 hung": 30,
			"err=<nil> stored=1 writes=1 slow":                                  30,
			"err=<nil> stored=1 writes=2":                                       30,
			"err=<nil> stored=1 writes=2 duplicate":                             30,
		} {
			if n := seen[what]; n < expected/2 || n > 2*expected {
				t.Errorf("%d writes of %q, want about %d", n, what, expected)
			}
			delete(seen, what)
		}
		if len(seen) > 0 {
			t.Errorf("nobody asked for %v", seen)
		}
		if !slices.Equal(did, misbehaviour(t, 1, odds, 300)) {
			t.Error("the same seed gives another run")
		}
		if slices.Equal(did, misbehaviour(t, 2, odds, 300)) {
			t.Error("another seed gives the same run")
		}
	})
}

func TestMisbehaveEndsWithRecover(t *testing.T) {
	t.Parallel()
	sink := audittest.NewMemorySink()
	if err := sink.Misbehave(rand.NewPCG(1, 1), audittest.Odds{Fail: 1, Err: errDown}); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(t.Context(), batchOf(1)); !errors.Is(err, errDown) {
		t.Errorf("write: %v, want %v", err, errDown)
	}
	sink.Recover()
	if _, err := sink.Write(t.Context(), batchOf(1)); err != nil {
		t.Errorf("write after recovery: %v", err)
	}
}

func TestMisbehaveRefusesOddsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, odds := range map[string]audittest.Odds{
		"fail -1":          {Fail: -1},
		"hang 1.5":         {Hang: 1.5},
		"duplicate NaN":    {Duplicate: math.NaN()},
		"sum 1.5":          {Fail: 0.75, FailAfterStoring: 0.75},
		"longest delay 0s": {Slow: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := audittest.NewMemorySink()
			if err := sink.Misbehave(rand.NewPCG(1, 1), odds); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want one that says %q", err, name)
			}
			if _, err := sink.Write(t.Context(), batchOf(1)); err != nil {
				t.Errorf("write after odds that were refused: %v", err)
			}
		})
	}
	if err := audittest.NewMemorySink().Misbehave(rand.NewPCG(1, 1), audittest.Odds{Fail: 0.1, Hang: 0.2, Duplicate: 0.7}); err != nil {
		t.Errorf("odds that add up to 1: %v", err)
	}
}
