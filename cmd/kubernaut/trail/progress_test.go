package trail

import (
	"strings"
	"testing"
	"time"
)

func TestASearchThatTakesLongSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	var notes strings.Builder
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	until := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	progress := progressTo(&notes, func() time.Time { return now })
	for range 50 { // pages of 100 ms
		now, until = now.Add(100*time.Millisecond), until.Add(time.Hour)
		progress(until)
	}
	want := "searching the audit trail: at 2026-08-01 21:00:00 (UTC)\nsearching the audit trail: at 2026-08-02 18:00:00 (UTC)\n"
	if notes.String() != want {
		t.Errorf("got %q, want %q", notes.String(), want)
	}
}

func TestASearchIsQuietWhereNobodyWatches(t *testing.T) {
	t.Parallel()
	var notes strings.Builder
	progressOn(&notes)(time.Now())
	if notes.String() != "" {
		t.Errorf("got %q", notes.String())
	}
}
