package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"
)

// stop stops a process between its last read and its write: the answer to the read is held
// back until the process is continued.
type stop struct {
	// read names the last read before the write.
	read string

	began    bool          // the execution has begun: the next such read is the last one
	stopped  chan struct{} // closed when the process is stopped
	released chan struct{} // closed when it goes on
	late     chan int      // the status of the write that it makes then
}

func newStop(read string) *stop {
	return &stop{read: read, stopped: make(chan struct{}), released: make(chan struct{}), late: make(chan int, 1)}
}

// see sees the answer to a call of the process. It returns a channel if the answer has to wait
// until that is closed.
func (s *stop) see(n *arrived, status int, p *process) (<-chan struct{}, error) {
	switch {
	case n.name == "patch workflowexecutions/status" && status < http.StatusBadRequest && bytes.Contains(n.body, []byte(`"phase":"Executing"`)):
		s.began = true
	case n.name == s.read && s.began && !closed(s.stopped):
		if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
			return nil, fmt.Errorf("stop process: %w", err)
		}
		close(s.stopped)
		return s.released, nil
	case n.write && closed(s.released):
		select {
		case s.late <- status:
		default:
		}
	}
	return nil, nil //nolint:nilnil // it does not wait
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// stopPatience bounds a remediation with a stopped process.
const stopPatience = time.Minute

// refusals are the answers to a write that comes too late.
var refusals = []int{http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnprocessableEntity}

// stopOnce stops the lane's process between its last read and its write, lets a successor
// finish, and continues the process, whose write must be refused.
func (l *lane) stopOnce(ctx context.Context, kind string) (err error) {
	r, err := l.newRemediation(ctx, kind)
	if err != nil {
		return err
	}
	first := l.current
	defer func() {
		if err != nil {
			_ = syscall.Kill(first.PID(), syscall.SIGKILL) // it may have ended
		}
	}()
	held := newStop(map[string]string{kindAction: "get deployments" + byWorkflow, kindJob: "get jobs"}[kind])
	first.gate.arm(nil, l.over)
	first.gate.stopAt(held)
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- r.drive(ctx) }()
	if err := await(ctx, held.stopped, over, first); err != nil {
		return err
	}
	if err := l.start(nil); err != nil {
		return errors.Join(err, first.resume(held))
	}
	err = <-over
	if resumeErr := first.resume(held); err == nil {
		err = resumeErr
	}
	if err != nil {
		return err
	}
	select {
	case status := <-held.late:
		if !slices.Contains(refusals, status) {
			return fmt.Errorf("the late write of a stopped process was answered %d: it must be refused", status)
		}
		l.sayf("%s: stopped after %s, a successor finished, the late write was answered %d", kind, held.read, status)
	case <-first.Done():
		return fmt.Errorf("the stopped process ended before its late write: %w", first.Failure())
	case <-ctx.Done():
		return fmt.Errorf("no late write: %w%s", context.Cause(ctx), first.LastLines())
	}
	if err := first.end(ctx); err != nil {
		return fmt.Errorf("the process that was stopped: %w", err)
	}
	first.gate.close()
	return l.check(ctx, r, first.gate, l.current.gate)
}

// await waits until the process is stopped.
func await(ctx context.Context, stopped <-chan struct{}, over <-chan error, p *running) error {
	select {
	case <-stopped:
		return nil
	case err := <-over:
		return errors.Join(errors.New("the remediation ended before the process was stopped"), err)
	case <-p.Done():
		return fmt.Errorf("process exited prematurely: %w", p.Failure())
	case <-ctx.Done():
		return fmt.Errorf("wait until the process is stopped: %w%s", context.Cause(ctx), p.LastLines())
	}
}

// resume continues the process, and gives it the answer that was held back.
func (p *running) resume(held *stop) error {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	close(held.released)
	if err := syscall.Kill(p.PID(), syscall.SIGCONT); err != nil {
		return fmt.Errorf("continue process: %w", err)
	}
	return nil
}

// stopAt stops the process at its last read before a write.
func (g *gate) stopAt(s *stop) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop = s
}
