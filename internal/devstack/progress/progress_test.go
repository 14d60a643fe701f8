package progress_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/internal/devstack/progress"
)

func TestDuringSaysNothingAboutAShortStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		end := progress.Func(func(line string) { lines = append(lines, line) }).During("starting", nil)
		<-time.After(progress.Patience - time.Nanosecond) // the bubble's clock, nobody waits
		end()
		if len(lines) != 0 {
			t.Errorf("reported %q", lines)
		}
	})
}

func TestDuringSaysWhatALongStepDoesUntilItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		var packages atomic.Int64
		packages.Store(1)
		end := progress.Func(func(line string) { lines = append(lines, line) }).
			During("compiling", func() string { return strconv.FormatInt(packages.Load(), 10) + " packages" })
		<-time.After(progress.Patience)
		synctest.Wait()
		packages.Store(2)
		<-time.After(progress.Interval)
		synctest.Wait()
		end()
		end() // once is enough, twice is fine
		<-time.After(10 * progress.Interval)

		want := []string{"compiling (2s, 1 packages)", "compiling (12s, 2 packages)"}
		if len(lines) != len(want) || lines[0] != want[0] || lines[1] != want[1] {
			t.Errorf("reported %q, want %q", lines, want)
		}
	})
}

func TestNilFuncIsSilent(t *testing.T) {
	t.Parallel()
	var report progress.Func
	report.Sayf("nobody %s", "listens")
	report.During("nothing", nil)()
}
