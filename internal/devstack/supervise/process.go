package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// outputDelay is how long the output of an ended process may stay open, for
// instance in a grandchild that is still ending.
const outputDelay = 5 * time.Second

// Spec describes a child process.
type Spec struct {
	// Name for messages.
	Name string
	// Path of the program.
	Path string
	Args []string
	// Env is the whole environment; nil means that of this process.
	Env []string
	// WorkingDir of the process; empty means that of this process.
	WorkingDir string
	// User to run as; nil means that of this process.
	User *syscall.Credential
	// Output receives what the process writes to its standard output and
	// standard error, besides what Process.Output keeps. May be nil.
	Output io.Writer
	// StopSignal asks the process to end: by Stop, and by the kernel when this
	// process dies. Zero means SIGTERM.
	StopSignal syscall.Signal

	// survives its owner's death, as on systems without a parent-death signal
	survives bool
}

// Process is a running child.
type Process struct {
	name   string
	proc   *os.Process
	signal syscall.Signal
	out    *output
	done   chan struct{}
	err    error // written before done is closed
}

// Start starts a child that d's owner, this process, answers for.
func Start(d *Dir, spec Spec) (*Process, error) {
	if spec.StopSignal == 0 {
		spec.StopSignal = syscall.SIGTERM
	}
	p := &Process{name: spec.Name, signal: spec.StopSignal, out: newOutput(), done: make(chan struct{})}
	started := make(chan error)
	go p.run(d, &spec, started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID is the process's id. It may be another process's once Done is closed.
func (p *Process) PID() int { return p.proc.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended, nil for exit code 0. It is valid once Done
// is closed.
func (p *Process) Err() error { return p.err }

// Output returns the last part of what the process wrote to its standard
// output and standard error, 64 KiB at least.
func (p *Process) Output() string { return p.out.String() }

// WaitFor waits until the process has written a line that contains text. It
// fails, with the last lines of the output, when the process ends first.
func (p *Process) WaitFor(ctx context.Context, text string) error {
	select {
	case <-p.out.seen(text):
		return nil
	case <-p.done:
		return fmt.Errorf("%s ended before it was ready: %w", p.name, p.Failure())
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w%s", p.name, context.Cause(ctx), p.LastLines())
	}
}

// Stop asks the process to end and waits. When ctx ends first, the process
// group is killed and the error says so. Stop is idempotent.
func (p *Process) Stop(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	_ = p.proc.Signal(p.signal) // it may be ending already
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.killGroup()
		<-p.done
		return fmt.Errorf("stop %s: killed, it did not end in time: %w", p.name, context.Cause(ctx))
	}
}

// Run starts a child and waits until it has ended. When ctx ends first, its
// process group is killed. The error of a failed child carries its last lines.
func Run(ctx context.Context, d *Dir, spec Spec) (string, error) {
	p, err := Start(d, spec)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.killGroup()
		<-p.done
		return p.Output(), fmt.Errorf("run %s: %w", spec.Name, context.Cause(ctx))
	}
	if p.err != nil {
		return p.Output(), p.Failure()
	}
	return p.Output(), nil
}

// Failure returns, once Done is closed, how the process ended and what it wrote last.
func (p *Process) Failure() error {
	err := p.err
	if err == nil {
		err = errors.New("exit code 0")
	}
	return fmt.Errorf("%w%s", err, p.LastLines())
}

// LastLines returns the end of the output for an error message, behind a colon;
// nothing where there is none.
func (p *Process) LastLines() string {
	const most = 12
	lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	if text := strings.Join(lines, "\n"); text != "" {
		return "; its last output:\n" + text
	}
	return ""
}

// run starts the child and stays on the thread it started it from: the kernel
// takes the end of that thread, not of the process, for the parent's death.
func (p *Process) run(d *Dir, spec *Spec, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	//nolint:noctx // a child ends by Stop, in its own way, not by the kill that a context would give
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env, cmd.Dir = spec.Env, spec.WorkingDir
	var out io.Writer = p.out
	if spec.Output != nil {
		out = io.MultiWriter(p.out, spec.Output)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = outputDelay
	cmd.SysProcAttr = attributes(spec)
	if err := cmd.Start(); err != nil {
		started <- fmt.Errorf("start %s: %w", spec.Name, err)
		return
	}
	p.proc = cmd.Process
	if err := d.recordChild(p.proc.Pid, spec); err != nil {
		p.killGroup()
		_ = cmd.Wait()
		started <- err
		return
	}
	started <- nil
	err := cmd.Wait()
	d.forgetChild(p.proc.Pid)
	p.out.end()
	if err != nil {
		p.err = fmt.Errorf("%s: %w", spec.Name, err)
	}
	close(p.done)
}

// killGroup is called while the process has not been waited for, or is just
// being: its id is not another's yet.
func (p *Process) killGroup() { _ = syscall.Kill(-p.proc.Pid, syscall.SIGKILL) }
