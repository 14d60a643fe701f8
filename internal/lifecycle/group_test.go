package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/internal/lifecycle"
)

// journal notes what happens, in order.
type journal struct {
	mu    sync.Mutex
	notes []string // guarded by mu
}

func (j *journal) notef(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notes = append(j.notes, fmt.Sprintf(format, args...))
}

func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.notes, want) {
		t.Errorf("noted %q, want %q", j.notes, want)
	}
}

// finishing is a part that takes a while to finish once it is stopped, but no
// longer than its grace; it notes how long that was.
func finishing(j *journal, name string, share int, takes time.Duration) lifecycle.Part {
	return lifecycle.Part{Name: name, Share: share, Run: lifecycle.OnStop(func(ctx context.Context) error {
		began := time.Now()
		select {
		case <-time.After(takes):
			j.notef("%s took %s", name, time.Since(began))
			return nil
		case <-ctx.Done():
			j.notef("%s was cut off after %s", name, time.Since(began))
			return fmt.Errorf("%s: %w", name, context.Cause(ctx))
		}
	})}
}

// stopped runs parts and stops them once they all run.
func stopped(t *testing.T, grace time.Duration, parts ...lifecycle.Part) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	return lifecycle.Run(ctx, lifecycle.Options{Grace: grace}, func(ctx context.Context, g *lifecycle.Group) error {
		for _, p := range parts {
			g.Add(ctx, p)
		}
		cancel()
		return nil
	})
}

func TestPartsStopInReverseOrderOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		err := stopped(t, 10*time.Second, finishing(&j, "first", 0, time.Second), finishing(&j, "second", 0, 2*time.Second), finishing(&j, "third", 0, 0))
		if err != nil {
			t.Error(err)
		}
		j.expect(t, "third took 0s", "second took 2s", "first took 1s")
	})
}

func TestAPartMayUseWhatIsLeftButForWhatIsReserved(t *testing.T) {
	const forEver = time.Hour
	for name, test := range map[string]struct {
		parts func(*journal) []lifecycle.Part
		want  []string
	}{
		"all but the reserve": {
			func(j *journal) []lifecycle.Part {
				return []lifecycle.Part{finishing(j, "store", 30, 0), finishing(j, "server", 0, forEver)}
			},
			// 90 percent of 70 s: the rest is for returning.
			[]string{"server was cut off after 1m3s", "store took 0s"},
		},
		"what others did not use": {
			func(j *journal) []lifecycle.Part {
				return []lifecycle.Part{finishing(j, "management", 10, 0), finishing(j, "store", 30, forEver), finishing(j, "server", 0, 10*time.Second)}
			},
			[]string{"server took 10s", "store was cut off after 1m12s", "management took 0s"},
		},
		"one percent at least": {
			func(j *journal) []lifecycle.Part {
				return []lifecycle.Part{finishing(j, "cache", 0, forEver), finishing(j, "server", 0, 99*time.Second)}
			},
			[]string{"server was cut off after 1m29.1s", "cache was cut off after 9.81s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				began := time.Now()
				if err := stopped(t, 100*time.Second, test.parts(&j)...); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); took > 100*time.Second {
					t.Errorf("the stop took %s", took)
				}
				j.expect(t, test.want...)
			})
		})
	}
}

func TestAPartThatDoesNotStopIsLeftBehindAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		release := make(chan struct{})
		stuck := lifecycle.Part{Name: "stuck", Run: lifecycle.Simple(func(context.Context) error {
			<-release
			return nil
		})}
		began := time.Now()
		err := stopped(t, 10*time.Second, finishing(&j, "store", 20, time.Second), stuck)
		if err == nil || err.Error() != "stuck did not stop within 8s" {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != 9*time.Second {
			t.Errorf("the stop took %s", took)
		}
		j.expect(t, "store took 1s")
		close(release)
	})
}

func TestAPartThatEndsByItselfStopsTheProgramAndIsAnError(t *testing.T) {
	broken := errors.New("broken")
	for want, err := range map[string]error{"part: ended by itself": nil, "part: ended by itself: broken": broken} {
		synctest.Test(t, func(t *testing.T) {
			var j journal
			got := lifecycle.Run(t.Context(), lifecycle.Options{Grace: time.Second}, func(ctx context.Context, g *lifecycle.Group) error {
				g.Add(ctx, finishing(&j, "other", 0, 0))
				g.Add(ctx, lifecycle.Part{Name: "part", Run: lifecycle.Simple(func(context.Context) error { return err })})
				return nil
			})
			if got == nil || got.Error() != want || !errors.Is(got, err) && err != nil {
				t.Errorf("error %v, want %s", got, want)
			}
			j.expect(t, "other took 0s")
		})
	}
}

func TestAPartThatEndsDuringTheStartEndsTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := lifecycle.Run(t.Context(), lifecycle.Options{Grace: time.Second}, func(ctx context.Context, g *lifecycle.Group) error {
			g.Add(ctx, lifecycle.Part{Name: "part", Run: lifecycle.Simple(func(context.Context) error { return errors.New("broken") })})
			<-ctx.Done()
			return fmt.Errorf("wait for something: %w", ctx.Err())
		})
		if err == nil || err.Error() != "part: ended by itself: broken" {
			t.Errorf("error %v, want the reason alone", err)
		}
	})
}

func TestAFailedStartStopsWhatHadStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		err := lifecycle.Run(t.Context(), lifecycle.Options{Grace: time.Minute}, func(ctx context.Context, g *lifecycle.Group) error {
			g.Add(ctx, finishing(&j, "store", 0, time.Second))
			return errors.New("no database")
		})
		if err == nil || err.Error() != "no database" {
			t.Errorf("error %v", err)
		}
		j.expect(t, "store took 1s")
	})
}

func TestAStopBeforeTheStartIsCompleteIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := lifecycle.Run(ctx, lifecycle.Options{Grace: time.Minute}, func(ctx context.Context, g *lifecycle.Group) error {
			g.Add(ctx, finishing(&j, "store", 0, 0))
			if g.Stopping() {
				t.Error("stopping before it was asked to")
			}
			<-ctx.Done()
			if !g.Stopping() {
				t.Error("not stopping although it was asked to")
			}
			return fmt.Errorf("wait for the database: %w", ctx.Err())
		})
		if err != nil {
			t.Errorf("error %v, want none: the program was asked to stop", err)
		}
		j.expect(t, "store took 0s")
	})
}

func TestWhatAPartCouldNotFinishIsReportedAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := lifecycle.Part{Name: "store", Run: lifecycle.OnStop(func(context.Context) error { return errors.New("3 events lost") })}
		if err := stopped(t, time.Second, lost); err == nil || err.Error() != "3 events lost" {
			t.Errorf("error %v", err)
		}
	})
}

// Many programs with parts that stop slowly, fail or are stuck, stopped at any
// moment of their start: the parts end in order, and the grace period holds.
func TestStress(t *testing.T) {
	const programs, grace = 200, 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var all sync.WaitGroup
		for seed := range uint64(programs) {
			all.Go(func() { stress(t, rand.New(rand.NewPCG(seed, seed)), grace, release) })
		}
		all.Wait()
		close(release)
	})
}

func stress(t *testing.T, random *rand.Rand, grace time.Duration, release <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stopped time.Time
	var once sync.Once
	begin := func() { once.Do(func() { stopped = time.Now() }) }
	lifetime := time.Duration(random.IntN(1000)) * time.Millisecond
	time.AfterFunc(lifetime, func() {
		begin()
		cancel()
	})
	var order journal
	mayFail, left := false, false
	err := lifecycle.Run(ctx, lifecycle.Options{Grace: grace}, func(ctx context.Context, g *lifecycle.Group) error {
		for i := range 1 + random.IntN(8) {
			behavior, takes := random.IntN(10), time.Duration(random.IntN(3000))*time.Millisecond
			mayFail = mayFail || behavior <= 1
			left = left || behavior == 1
			g.Add(ctx, lifecycle.Part{Name: fmt.Sprint(i), Share: random.IntN(10), Run: func(ctx context.Context, left lifecycle.Grace) error {
				switch behavior {
				case 0: // fails at some moment
					select {
					case <-time.After(takes):
						begin()
						return errors.New("failed")
					case <-ctx.Done():
					}
				case 1: // does not stop
					<-release
					return nil
				default:
					<-ctx.Done()
					select {
					case <-time.After(takes):
					case <-time.After(left()):
					}
				}
				order.notef("%d", i)
				return nil
			}})
			select {
			case <-time.After(time.Duration(random.IntN(100)) * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if took := time.Since(stopped); took > grace {
		t.Errorf("the stop took %s, want %s at most", took, grace)
	}
	if err != nil && !mayFail {
		t.Errorf("error %v", err)
	}
	if err == nil && left {
		t.Error("no error although a part did not stop")
	}
	order.mu.Lock()
	defer order.mu.Unlock()
	if !slices.IsSortedFunc(order.notes, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("parts ended in the order %v", order.notes)
	}
}
