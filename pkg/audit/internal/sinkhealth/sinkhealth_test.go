package sinkhealth_test

import (
	"errors"
	"math"
	"testing"

	"kubernaut.ai/pkg/audit/internal/sinkhealth"
)

var errDown = errors.New("down")

func newHealth(random uint64) sinkhealth.Health {
	return sinkhealth.New(sinkhealth.Options{FirstBackoff: 100, LongestBackoff: 1000, Random: func() uint64 { return random }})
}

func TestOutagesAreReportedOnceByKindAndAgainAsReminder(t *testing.T) {
	t.Parallel()
	const soon = sinkhealth.Reminder - 1
	h := newHealth(0)
	for i, step := range []struct {
		kind string
		now  int64
		news sinkhealth.News
	}{
		{"refused", 10, sinkhealth.Down},
		{"refused", 20, sinkhealth.Nothing},
		{"expired", 30, sinkhealth.Changed},
		{"expired", 10 + soon, sinkhealth.Nothing},
		{"expired", 10 + sinkhealth.Reminder, sinkhealth.StillDown},
		{"expired", 10 + sinkhealth.Reminder + soon, sinkhealth.Nothing},
		{"refused", 10 + 2*sinkhealth.Reminder, sinkhealth.StillDown}, // and with it the change
		{"refused", 11 + 2*sinkhealth.Reminder, sinkhealth.Nothing},
	} {
		news, lasted := h.Failed(errDown, step.kind, step.now)
		if news != step.news || lasted != step.now-10 {
			t.Errorf("failure %d: news %v after %d, want %v after %d", i, news, lasted, step.news, step.now-10)
		}
	}
	if wasDown, lasted := h.Answered(5 * sinkhealth.Reminder); !wasDown || lasted != 5*sinkhealth.Reminder-10 {
		t.Errorf("back: %v after %d", wasDown, lasted)
	}
	if wasDown, _ := h.Answered(6 * sinkhealth.Reminder); wasDown || h.Down() || h.Err() != nil {
		t.Error("back twice")
	}
	if news, lasted := h.Failed(errDown, "refused", 7*sinkhealth.Reminder); news != sinkhealth.Down || lasted != 0 {
		t.Errorf("next outage: news %v after %d", news, lasted)
	}
}

func TestAlternatingKindsAreReportedWithinABound(t *testing.T) {
	t.Parallel()
	h := newHealth(0)
	reported := 0
	for i := range 1000 {
		if news, _ := h.Failed(errDown, string(rune('a'+i%2)), int64(i)); news != sinkhealth.Nothing {
			reported++
		}
	}
	if reported != 6 {
		t.Errorf("%d lines, want the first and 5 changes", reported)
	}
}

func TestOneDeliveryProbes(t *testing.T) {
	t.Parallel()
	h := newHealth(0)
	if turn, _, _ := h.NextTurn(1, 0); turn != sinkhealth.TryNow {
		t.Fatalf("turn %v while the sink works", turn)
	}
	h.Failed(errDown, "", 0)
	turn, pause, _ := h.NextTurn(1, 0)
	if turn != sinkhealth.Probe || pause != 100 {
		t.Errorf("turn %v after %d, want to probe after 100", turn, pause)
	}
	turn, _, back := h.NextTurn(2, 0)
	if turn != sinkhealth.AwaitProber {
		t.Errorf("turn %v for another delivery, want it to wait", turn)
	}
	if turn, pause, _ := h.NextTurn(1, 0); turn != sinkhealth.Probe || pause != 200 {
		t.Errorf("turn %v after %d, want to probe after 200", turn, pause)
	}
	h.Answered(0)
	select {
	case <-back:
	default:
		t.Error("the other delivery was not woken")
	}
	h.Failed(errDown, "", 0)
	if turn, pause, _ := h.NextTurn(2, 0); turn != sinkhealth.Probe || pause != 100 {
		t.Errorf("turn %v after %d in the next outage, want to probe after 100", turn, pause)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		random     uint64
		failures   int
		retryAfter int64
		want       int64
	}{
		"first":                   {0, 1, 0, 100},
		"doubled":                 {0, 3, 0, 400},
		"longest":                 {0, 5, 0, 1000},
		"does not overflow":       {0, math.MaxInt, 0, 1000},
		"shortened at random":     {49, 1, 0, 51},
		"by less than half":       {50, 1, 0, 100},
		"asked by the sink":       {0, 1, 5000, 5000},
		"never before that":       {49, 1, 5000, 5049},
		"but not an absurd while": {0, 1, math.MaxInt64, sinkhealth.Reminder},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHealth(test.random)
			if got := h.Backoff(test.failures, test.retryAfter); got != test.want {
				t.Errorf("backoff %d, want %d", got, test.want)
			}
		})
	}
}

func TestHurryEndsThePausesThatBeganBefore(t *testing.T) {
	t.Parallel()
	h := newHealth(0)
	before := h.Hurries()
	wait := h.Hurried(before)
	if wait == nil {
		t.Fatal("no pause although nobody hurried")
	}
	h.Hurry()
	select {
	case <-wait:
	default:
		t.Error("the pause goes on")
	}
	if h.Hurried(before) != nil {
		t.Error("an attempt made before the flush pauses after it")
	}
	if h.Hurried(h.Hurries()) == nil {
		t.Error("an attempt made after the flush does not pause")
	}
}

func TestAWriteMayFailWhileTheSinkWorks(t *testing.T) {
	t.Parallel()
	h := newHealth(0)
	h.Wrote(errDown)
	if h.Down() || !errors.Is(h.WriteErr(), errDown) {
		t.Errorf("down %v, write error %v", h.Down(), h.WriteErr())
	}
	h.Wrote(nil)
	if h.WriteErr() != nil {
		t.Error("the error outlives a write that succeeded")
	}
}
