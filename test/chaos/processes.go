package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/devstack/supervise"
	"kubernaut.ai/test/testenv"
)

// Program is the program that a scenario kills.
type Program struct {
	// Path of the binary.
	Path string
	// Env is appended to the environment of the scenario's process.
	Env []string
}

// Options of a scenario. All are required except Older, Output and Progress.
type Options struct {
	Env *testenv.Env
	// ControlPlane is that of the Env.
	ControlPlane *controlplane.ControlPlane
	Program      Program
	// Older is the binary of an older version, for Upgrade.
	Older string
	// Kills is how many processes are killed, at least 1.
	Kills int
	// Full scale: a scenario that tries each of a number of things tries all sides of them.
	Full bool
	// Seed of the random choices. The timing is random nevertheless.
	Seed uint64
	// Output receives what the program writes.
	Output io.Writer
	// Progress receives a few progress messages.
	Progress progress.Func
}

func (o *Options) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(o.Seed, stream)) }

// report sends a few progress messages over the whole scenario.
func (o *Options) report(kills int) {
	const times = 5
	if step := max(o.Kills/times, 1); kills%step == 0 && o.Progress != nil {
		o.Progress.Sayf("%d of %d kills", kills, o.Kills)
	}
}

// processes starts one process of a program after the other, all on the same spool.
type processes struct {
	*Options

	name string
	// args are those of each process, before its own.
	args []string
	// dir is the supervised directory that the processes belong to; it contains the spool.
	dir *supervise.Dir
}

// newProcesses makes the directory of a program's processes. The caller closes it.
func newProcesses(ctx context.Context, o *Options, name string) (*processes, error) {
	dir, err := supervise.Temporary(ctx, "kill")
	if err != nil {
		return nil, fmt.Errorf("make directory for %s: %w", name, err)
	}
	return &processes{Options: o, name: name, dir: dir}, nil
}

// spool is the directory that the processes share.
func (p *processes) spool() string { return p.dir.Join("spool") }

// process is one of them.
type process struct {
	*supervise.Process

	raced *atomic.Bool
}

// start starts a process that Stop ends with the given signal. Each line of its
// output is passed to line, in order; all of them have been when Done is closed.
func (p *processes) start(stop syscall.Signal, line func([]byte), args ...string) (*process, error) {
	started := &process{raced: new(atomic.Bool)}
	output := &lineWriter{take: func(text []byte) {
		if bytes.Contains(text, []byte("WARNING: DATA RACE")) {
			started.raced.Store(true)
		}
		line(text)
	}}
	spec := supervise.Spec{
		Name: p.name, Path: p.Program.Path, Args: append(append([]string{}, p.args...), args...),
		Env: append(os.Environ(), p.Program.Env...), StopSignal: stop, Output: output,
	}
	if p.Output != nil {
		spec.Output = io.MultiWriter(output, p.Output)
	}
	var err error
	if started.Process, err = supervise.Start(p.dir, spec); err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	return started, nil
}

// end sends the process its stop signal and waits. It is an error if the
// process has exited before, or reported a data race.
func (p *process) end(ctx context.Context) error {
	select {
	case <-p.Done():
		return fmt.Errorf("process exited prematurely: %w", p.Failure())
	default:
	}
	if err := p.Stop(ctx); err != nil {
		return err
	}
	if p.raced.Load() {
		return fmt.Errorf("data race%s", p.LastLines())
	}
	return nil
}

// finish ends a process gracefully; it must exit with 0.
func (p *process) finish(ctx context.Context) error {
	if err := p.end(ctx); err != nil {
		return err
	}
	if p.Err() != nil {
		return p.Failure()
	}
	return nil
}

// readyMessage is what every service logs once it serves.
const readyMessage = "ready"

// addresses is what a service logs about itself once it is ready.
type addresses struct {
	Message    string `json:"message"`
	API        string `json:"api"`
	Management string `json:"management"`
}

// serve starts a service; its addresses are sent to ready when it logs readyMessage.
func (p *processes) serve(stop syscall.Signal) (started *process, ready <-chan addresses, err error) {
	announced := make(chan addresses, 1)
	started, err = p.start(stop, func(line []byte) {
		var at addresses
		if json.Unmarshal(line, &at) != nil || at.Message != readyMessage {
			return
		}
		select {
		case announced <- at:
		default:
		}
	})
	return started, announced, err
}

// awaitReady waits until a service is ready.
func awaitReady(ctx context.Context, started *process, ready <-chan addresses) (addresses, error) {
	select {
	case at := <-ready:
		return at, nil
	case <-started.Done():
		return addresses{}, fmt.Errorf("process exited before it was ready: %w", started.Failure())
	case <-ctx.Done():
		return addresses{}, fmt.Errorf("wait for readiness: %w%s", context.Cause(ctx), started.LastLines())
	}
}

// When a process is killed.
const (
	// maxTicks bounds the operations that are observed before the kill.
	maxTicks = 12
	// maxDelay bounds the time from the last of them to the kill.
	maxDelay = 30 * time.Millisecond
	// One process in earlyOneIn is killed within maxEarly of its start, ready or not.
	earlyOneIn = 5
	maxEarly   = 600 * time.Millisecond
)

// pause waits for a random time below limit.
func pause(ctx context.Context, random *rand.Rand, limit time.Duration) error {
	select {
	case <-time.After(time.Duration(random.Int64N(int64(limit)))):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// awaitLoad waits for a random number of operations, then for a random delay.
func awaitLoad(ctx context.Context, random *rand.Rand, started *process, ticks <-chan struct{}) error {
	for range 1 + random.IntN(maxTicks) {
		select {
		case <-ticks:
		case <-started.Done():
			return nil // end reports the reason
		case <-ctx.Done():
			return fmt.Errorf("no progress: %w%s", context.Cause(ctx), started.LastLines())
		}
	}
	return pause(ctx, random, maxDelay)
}

// drain discards the ticks of an earlier process.
func drain(ticks <-chan struct{}) {
	for {
		select {
		case <-ticks:
		default:
			return
		}
	}
}

// tick reports a completed operation. It does not block.
func tick(ticks chan<- struct{}) {
	select {
	case ticks <- struct{}{}:
	default:
	}
}

// killRepeatedly starts and kills processes of a service, and returns how many.
// arrived receives the addresses of each process that became ready.
func (p *processes) killRepeatedly(ctx context.Context, ticks <-chan struct{}, arrived func(addresses)) (kills int, err error) {
	random := p.random(0)
	for ; kills < p.Kills; kills++ {
		started, ready, err := p.serve(syscall.SIGKILL)
		if err != nil {
			return kills, err
		}
		err = p.runUntilKill(ctx, random, started, ready, ticks, arrived)
		if endErr := started.end(context.WithoutCancel(ctx)); err == nil {
			err = endErr
		}
		if err != nil {
			return kills, fmt.Errorf("process %d of %s: %w", kills+1, p.name, err)
		}
		p.report(kills + 1)
	}
	return kills, nil
}

// runUntilKill returns when it is time to kill the process.
func (p *processes) runUntilKill(ctx context.Context, random *rand.Rand, started *process, ready <-chan addresses, ticks <-chan struct{}, arrived func(addresses)) error {
	if random.IntN(earlyOneIn) == 0 {
		return pause(ctx, random, maxEarly)
	}
	at, err := awaitReady(ctx, started, ready)
	if err != nil {
		return err
	}
	drain(ticks)
	arrived(at)
	return awaitLoad(ctx, random, started, ticks)
}

// runLast starts a process that is not killed, calls use, and stops it gracefully.
func (p *processes) runLast(ctx context.Context, use func(addresses) error) error {
	started, ready, err := p.serve(syscall.SIGTERM)
	if err != nil {
		return err
	}
	at, err := awaitReady(ctx, started, ready)
	if err == nil {
		err = use(at)
	}
	if err := errors.Join(err, started.finish(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("last process of %s: %w", p.name, err)
	}
	return nil
}

// finished runs a command until it ends with success.
func (p *processes) finished(ctx context.Context, command ...string) error {
	started, err := p.start(syscall.SIGKILL, func([]byte) {}, command...)
	if err != nil {
		return err
	}
	select {
	case <-started.Done():
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", command, errors.Join(context.Cause(ctx), started.Stop(context.WithoutCancel(ctx))))
	}
	if started.Err() != nil {
		return fmt.Errorf("%s: %w", command, started.Failure())
	}
	return nil
}

// lineWriter splits what is written to it into lines.
type lineWriter struct {
	take    func([]byte)
	partial []byte
}

// maxLine bounds a line in bytes.
const maxLine = 1 << 20

var errLongLine = errors.New("line too long")

// Write implements io.Writer.
func (l *lineWriter) Write(text []byte) (int, error) {
	l.partial = append(l.partial, text...)
	for {
		line, rest, whole := bytes.Cut(l.partial, []byte{'\n'})
		if !whole {
			break
		}
		l.take(line)
		l.partial = rest
	}
	if len(l.partial) > maxLine {
		return 0, errLongLine
	}
	return len(text), nil
}
