package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/test/verdict"
)

const (
	// lanes is how many remediations run concurrently, each in a namespace of its own.
	lanes = 3
	// stopsPerKind is how often a process is stopped in each kind of workflow.
	stopsPerKind = 2
	// maxDeaths bounds the processes that a remediation at random kills.
	maxDeaths = 3
	// maxAttempts bounds the remediations that are run for one point: which calls are made
	// depends on the order in which controllers see changes.
	maxAttempts = 3
)

// remediations is the scenario.
type remediations struct {
	*Options

	abort                           context.CancelCauseFunc
	mu                              sync.Mutex
	result                          *verdict.Result // guarded by mu, as the counts
	actions, repeated, inconclusive int
}

// job is a remediation, and where its processes die, one after the other.
type job struct {
	kind   string
	deaths []death
}

// WorkflowExecution kills the service at each of its calls of the API server and DataStorage
// during a remediation, by name, before the call arrives or after it has its effect, and then at
// random ones. A successor finishes. It also stops processes between their last read and their write,
// while a successor finishes. Afterwards each trail has the events of the execution's outcome,
// each once, and each target was changed once.
func WorkflowExecution(ctx context.Context, o Options) (result verdict.Result, err error) {
	if err := o.runControllers(ctx); err != nil {
		return result, err
	}
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	group, working := errgroup.WithContext(ctx)
	s := &remediations{Options: &o, result: &result, abort: abort}
	jobs := make(chan job)
	first, err := s.newLane(working, 0)
	if err != nil {
		return result, err
	}
	points, err := first.survey(working)
	if err != nil {
		return result, errors.Join(err, first.close(context.WithoutCancel(ctx)))
	}
	group.Go(func() error {
		defer close(jobs)
		return s.plan(working, points, jobs)
	})
	group.Go(func() error { return first.work(working, jobs) })
	for number := 1; number < lanes; number++ {
		group.Go(func() error {
			l, err := s.newLane(working, number)
			if err != nil {
				return err
			}
			return l.work(working, jobs)
		})
	}
	err = group.Wait()
	result.AddFigure("actions", int64(s.actions))
	result.AddFigure("repeated", int64(s.repeated))
	result.AddFigure("inconclusive", int64(s.inconclusive))
	switch {
	case err != nil && result.Lost+result.Doubled > 0:
		err = errors.Join(err, result.Err())
	case s.repeated > 0:
		err = errors.Join(err, fmt.Errorf("%d actions were repeated", s.repeated))
	}
	return result, err
}

// runControllers runs the controllers that make a Job's pod and end a Job.
func (o *Options) runControllers(ctx context.Context) error {
	program, err := controlplane.FindControllers(ctx, o.Progress)
	if err != nil {
		return err
	}
	return o.ControlPlane.RunControllers(ctx, program)
}

// plan chooses the remediations, and then random ones. At full scale each point is tried on both
// sides, else each change on one side, and each read once.
func (s *remediations) plan(ctx context.Context, points map[string][]point, jobs chan<- job) error {
	send := func(j job) error {
		select {
		case jobs <- j:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	random := s.random(0)
	for _, kind := range []string{kindAction, kindJob} {
		for _, at := range s.chosen(random, points[kind]) {
			deaths := []death{{at, false}, {at, true}}
			if !s.Full { // one side of each
				deaths = deaths[random.IntN(2):][:1]
			}
			for _, d := range deaths {
				if err := send(job{kind, []death{d}}); err != nil {
					return err
				}
			}
		}
	}
	for kills := 0; kills < s.Kills; {
		j := s.randomJob(random, points)
		kills += len(j.deaths)
		if err := send(j); err != nil {
			return err
		}
	}
	return nil
}

// chosen are all points at full scale, else those of changes, and of reads one for each name.
func (s *remediations) chosen(random *rand.Rand, points []point) []point {
	if s.Full {
		return points
	}
	counts := map[string]int{}
	for _, p := range points {
		counts[p.name]++
	}
	one := map[string]int{}
	return slices.DeleteFunc(slices.Clone(points), func(p point) bool {
		if !reads(p.name) {
			return false
		}
		if one[p.name] == 0 {
			one[p.name] = 1 + random.IntN(counts[p.name])
		}
		return one[p.name] != p.nth
	})
}

func (s *remediations) randomJob(random *rand.Rand, points map[string][]point) job {
	j := job{kind: []string{kindAction, kindJob}[random.IntN(2)]}
	for range 1 + random.IntN(maxDeaths) {
		j.deaths = append(j.deaths, death{at: points[j.kind][random.IntN(len(points[j.kind]))], answered: random.IntN(2) == 0})
	}
	return j
}

// survey runs a remediation of each kind without a kill, and returns its points.
func (l *lane) survey(ctx context.Context) (map[string][]point, error) {
	points := map[string][]point{}
	for _, kind := range []string{kindAction, kindJob} {
		found, _, err := l.remediate(ctx, job{kind: kind})
		if err != nil {
			return nil, fmt.Errorf("%s without a kill: %w", kind, err)
		}
		points[kind] = found
		for i, at := range found {
			l.sayf("%s %d of %d: %s", kind, i+1, len(found), at)
		}
	}
	return points, nil
}

// work carries out jobs, and stops processes when there are no more.
func (l *lane) work(ctx context.Context, jobs <-chan job) (err error) {
	defer func() { err = errors.Join(err, l.close(context.WithoutCancel(ctx))) }()
	for j := range jobs {
		if err := l.carryOut(ctx, j); err != nil {
			return fmt.Errorf("%s, killed %v: %w", j.kind, j.deaths, err)
		}
	}
	if l.number > 0 {
		return nil
	}
	for range stopsPerKind {
		for _, kind := range []string{kindAction, kindJob} {
			if err := l.stopOnce(ctx, kind); err != nil {
				return fmt.Errorf("%s, stopped: %w", kind, err)
			}
		}
	}
	return nil
}

// carryOut runs a remediation, again if none of its processes died.
func (l *lane) carryOut(ctx context.Context, j job) error {
	for range maxAttempts {
		if _, kills, err := l.remediate(ctx, j); kills > 0 || err != nil {
			return err
		}
	}
	l.sayf("%s: no process got as far as %s in %d remediations", j.kind, j.deaths[0], maxAttempts)
	return nil
}

// remediate runs a remediation, whose processes die one after the other. It returns the points of
// the last one, and how many died.
func (l *lane) remediate(ctx context.Context, j job) (points []point, kills int, err error) {
	if err := l.current.await(ctx); err != nil {
		return nil, 0, err
	}
	r, err := l.newRemediation(ctx, j.kind)
	if err != nil {
		return nil, 0, err
	}
	deaths := j.deaths
	next := func() *death {
		if len(deaths) == 0 {
			return nil
		}
		d := deaths[0]
		deaths = deaths[1:]
		return &d
	}
	dies := next()
	gates := []*gate{l.current.gate}
	l.current.gate.arm(dies, l.over)
	over := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { over <- r.drive(ctx) }()
	for ended := false; !ended; {
		select {
		case err := <-over:
			if err != nil {
				return nil, kills, fmt.Errorf("%w%s", err, l.current.LastLines())
			}
			ended = true
		case <-l.current.Done():
			if !l.current.gate.died() {
				return nil, kills, fmt.Errorf("process exited prematurely: %w", l.current.Failure())
			}
			kills++
			l.killed(j.kind, *dies)
			l.current.gate.close()
			dies = next()
			if err := l.start(dies); err != nil {
				return nil, kills, err
			}
			gates = append(gates, l.current.gate)
		}
	}
	points, _ = l.current.gate.disarm()
	if closed(l.current.Done()) { // at its last call
		kills++
		l.killed(j.kind, *dies)
		l.current.gate.close()
		if err := l.start(nil); err != nil {
			return nil, kills, err
		}
	}
	return points, kills, l.check(ctx, r, gates...)
}

// killed counts a kill.
func (l *lane) killed(kind string, d death) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Disruptions++
	l.sayf("kill %d, %s: %s", l.result.Disruptions, kind, d)
}

func (s *remediations) sayf(format string, args ...any) {
	if s.Progress != nil {
		s.Progress.Sayf(format, args...)
	}
}
