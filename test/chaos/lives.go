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

	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/devstack/supervise"
	"kubernaut.ai/test/testenv"
)

// Program is what gets killed.
type Program struct {
	// Path of the binary.
	Path string
	// Env is added to the environment of this process.
	Env []string
}

// Options of a scenario. All are required but Output and Progress.
type Options struct {
	Env     *testenv.Env
	Program Program
	// Kills is how many lives are killed, at least 1.
	Kills int
	// Seed makes the random choices; the moments are random nevertheless.
	Seed uint64
	// Output gets what the program writes.
	Output io.Writer
	// Progress is told now and then how far it is.
	Progress progress.Func
}

func (o *Options) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(o.Seed, stream)) }

// report tells how far the scenario is, a few times only.
func (o *Options) report(kills int) {
	const times = 5
	if step := max(o.Kills/times, 1); kills%step == 0 && o.Progress != nil {
		o.Progress.Sayf("%d of %d kills", kills, o.Kills)
	}
}

// lives are the lives of one program on one spool.
type lives struct {
	*Options

	name string
	args []string
	// dir answers for the child, and holds the spool.
	dir *supervise.Dir
}

// newLives makes a folder for a program's lives; the caller closes it.
func newLives(ctx context.Context, o *Options, name string, args ...string) (*lives, error) {
	dir, err := supervise.Temporary(ctx, "kill")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	return &lives{Options: o, name: name, args: args, dir: dir}, nil
}

// spool is the folder that the lives share.
func (l *lives) spool() string { return l.dir.Join("spool") }

// life is one of them.
type life struct {
	*supervise.Process

	raced *atomic.Bool
}

// start begins a life that Stop ends with a signal. Each line of its output is
// passed to line, in order; all of them when Done is closed.
func (l *lives) start(end syscall.Signal, line func([]byte), args ...string) (*life, error) {
	born := &life{raced: new(atomic.Bool)}
	output := &lines{take: func(text []byte) {
		if bytes.Contains(text, []byte("WARNING: DATA RACE")) {
			born.raced.Store(true)
		}
		line(text)
	}}
	spec := supervise.Spec{
		Name: l.name, Path: l.Program.Path, Args: append(append([]string{}, l.args...), args...),
		Env: append(os.Environ(), l.Program.Env...), StopSignal: end, Output: output,
	}
	if l.Output != nil {
		spec.Output = io.MultiWriter(output, l.Output)
	}
	var err error
	if born.Process, err = supervise.Start(l.dir, spec); err != nil {
		return nil, fmt.Errorf("begin a life: %w", err)
	}
	return born, nil
}

// end stops a life as it was begun for, and fails if it had ended by itself.
func (l *life) end(ctx context.Context) error {
	select {
	case <-l.Done():
		return fmt.Errorf("it ended before it was to: %w", l.Failure())
	default:
	}
	if err := l.Stop(ctx); err != nil {
		return err
	}
	if l.raced.Load() {
		return fmt.Errorf("data race%s", l.LastLines())
	}
	return nil
}

// finish ends a life gently, which must exit with 0.
func (l *life) finish(ctx context.Context) error {
	if err := l.end(ctx); err != nil {
		return err
	}
	if l.Err() != nil {
		return l.Failure()
	}
	return nil
}

// addresses is where a service says that it is once it is ready.
type addresses struct {
	Message    string `json:"message"`
	API        string `json:"api"`
	Management string `json:"management"`
}

// serve begins a life of a service; ready gets its addresses once it logs the message.
func (l *lives) serve(end syscall.Signal, message string) (born *life, ready <-chan addresses, err error) {
	announced := make(chan addresses, 1)
	born, err = l.start(end, func(line []byte) {
		var at addresses
		if json.Unmarshal(line, &at) != nil || at.Message != message {
			return
		}
		select {
		case announced <- at:
		default:
		}
	})
	return born, announced, err
}

// await waits until a service is ready.
func await(ctx context.Context, born *life, ready <-chan addresses) (addresses, error) {
	select {
	case at := <-ready:
		return at, nil
	case <-born.Done():
		return addresses{}, fmt.Errorf("it ended before it was ready: %w", born.Failure())
	case <-ctx.Done():
		return addresses{}, fmt.Errorf("wait until it is ready: %w%s", context.Cause(ctx), born.LastLines())
	}
}

// The random moments of kills.
const (
	// mostTicks is how much of its work a life sees done at most before the moment.
	mostTicks = 12
	// mostAfter is how long after it the kill comes at most.
	mostAfter = 30 * time.Millisecond
	// earlyOneIn lives are killed before they are ready, within mostEarly.
	earlyOneIn = 5
	mostEarly  = 600 * time.Millisecond
)

// pause waits for a random time.
func pause(ctx context.Context, random *rand.Rand, most time.Duration) error {
	select {
	case <-time.After(time.Duration(random.Int64N(int64(most)))):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// moment waits for a random moment of a life that is under load.
func moment(ctx context.Context, random *rand.Rand, born *life, ticks <-chan struct{}) error {
	for range 1 + random.IntN(mostTicks) {
		select {
		case <-ticks:
		case <-born.Done():
			return nil // end says why
		case <-ctx.Done():
			return fmt.Errorf("nothing happens any more: %w%s", context.Cause(ctx), born.LastLines())
		}
	}
	return pause(ctx, random, mostAfter)
}

// drain forgets the ticks of an earlier life.
func drain(ticks <-chan struct{}) {
	for {
		select {
		case <-ticks:
		default:
			return
		}
	}
}

// tick tells the killer that something was done; nobody waits for it to listen.
func tick(ticks chan<- struct{}) {
	select {
	case ticks <- struct{}{}:
	default:
	}
}

// reign kills lives of a service one after the other, and returns how many.
// arrived is told where each of them is.
func (l *lives) reign(ctx context.Context, message string, ticks <-chan struct{}, arrived func(addresses)) (kills int, err error) {
	random := l.random(0)
	for ; kills < l.Kills; kills++ {
		born, ready, err := l.serve(syscall.SIGKILL, message)
		if err != nil {
			return kills, err
		}
		err = l.spend(ctx, random, born, ready, ticks, arrived)
		if endErr := born.end(context.WithoutCancel(ctx)); err == nil {
			err = endErr
		}
		if err != nil {
			return kills, fmt.Errorf("life %d of %s: %w", kills+1, l.name, err)
		}
		l.report(kills + 1)
	}
	return kills, nil
}

// spend lets a life live until its moment.
func (l *lives) spend(ctx context.Context, random *rand.Rand, born *life, ready <-chan addresses, ticks <-chan struct{}, arrived func(addresses)) error {
	if random.IntN(earlyOneIn) == 0 {
		return pause(ctx, random, mostEarly)
	}
	at, err := await(ctx, born, ready)
	if err != nil {
		return err
	}
	drain(ticks)
	arrived(at)
	return moment(ctx, random, born, ticks)
}

// last begins a life that is not killed, lets it be used, and ends it gently.
func (l *lives) last(ctx context.Context, message string, use func(addresses) error) error {
	born, ready, err := l.serve(syscall.SIGTERM, message)
	if err != nil {
		return err
	}
	at, err := await(ctx, born, ready)
	if err == nil {
		err = use(at)
	}
	if err := errors.Join(err, born.finish(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("the last life of %s: %w", l.name, err)
	}
	return nil
}

// lines cuts what is written to it into lines.
type lines struct {
	take func([]byte)
	rest []byte
}

// maxLine bounds a line in bytes.
const maxLine = 1 << 20

var errLongLine = errors.New("a line without an end")

// Write implements io.Writer.
func (l *lines) Write(text []byte) (int, error) {
	l.rest = append(l.rest, text...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte{'\n'})
		if !whole {
			break
		}
		l.take(line)
		l.rest = rest
	}
	if len(l.rest) > maxLine {
		return 0, errLongLine
	}
	return len(text), nil
}
