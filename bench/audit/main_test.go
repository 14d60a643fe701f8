package main

import (
	"testing"

	"kubernaut.ai/bench/ratio"
)

func TestUnknownScaleOrFamilyIsRefused(t *testing.T) {
	if err := run(t.Context(), t.Output(), "huge", t.TempDir(), ""); err == nil {
		t.Error("scale huge was taken")
	}
	if err := run(t.Context(), t.Output(), "small", t.TempDir(), "reocrd"); err == nil {
		t.Error("family reocrd was taken")
	}
}

func TestFullScaleHasTheSizesOfTheBars(t *testing.T) {
	if got := newPlan(ratio.Full, "").recoverEvents; got != 1_000_000 {
		t.Errorf("%d events are read back, want 1000000", got)
	}
	if oneEventFlushes != 10_000 || crowd != 1000 || pendingEvents != 30_000 || producers != 12 {
		t.Error("sizes differ from those of the bars")
	}
}
