package mustgather

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubernaut.ai/internal/printable"
)

// concurrentSteps bounds the steps of one phase that run concurrently, and with them memory: each holds a list or a log.
const concurrentSteps = 8

// concurrentParts bounds those of one step.
const concurrentParts = 4

// failure is something that could not be collected.
type failure struct{ what, why, how string }

// step is one part of the collection. Its context has the time limit.
type step struct {
	*run

	name string
}

// steps run concurrently until wait returns.
type steps struct {
	run   *run
	ctx   context.Context //nolint:containedctx // lives as long as one phase
	group errgroup.Group
}

func (r *run) begin(ctx context.Context) *steps {
	s := &steps{run: r, ctx: ctx}
	s.group.SetLimit(concurrentSteps)
	return s
}

// collector is what a step does. What it returns is noted as not collected, under the step's name.
type collector func(ctx context.Context, s *step) error

// do runs a step.
func (s *steps) do(name string, collect collector) {
	if s.ctx.Err() != nil {
		return
	}
	s.group.Go(func() error {
		s.run.step(s.ctx, name, collect)
		return nil
	})
}

// sequence runs steps that use each other's results one after the other, in the place of one step.
func (s *steps) sequence(each func(do func(name string, collect collector))) {
	s.group.Go(func() error {
		each(func(name string, collect collector) {
			if s.ctx.Err() == nil {
				s.run.step(s.ctx, name, collect)
			}
		})
		return nil
	})
}

func (s *steps) wait() { _ = s.group.Wait() } // steps have no errors

// concurrently calls do with 0 to n-1, a few at a time: parts of a step that wait for the API server one by one.
func (s *step) concurrently(n int, do func(i int)) {
	var group errgroup.Group
	group.SetLimit(concurrentParts)
	for i := range n {
		group.Go(func() error { do(i); return nil })
	}
	_ = group.Wait() // no errors
}

// step runs a step at once.
func (r *run) step(ctx context.Context, name string, collect collector) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, r.TimeLimit)
	defer cancel()
	err := collect(limited, &step{run: r, name: name})
	r.files.note(fmt.Sprintf("%s: %s", name, time.Since(began).Round(time.Millisecond)))
	if err != nil && ctx.Err() == nil { // else the interrupt is named once, for all
		r.fail(name, err)
	}
}

// commandError is a failure with the command that shows it to a person.
type commandError struct {
	err     error
	command string
}

func (e *commandError) Error() string { return e.err.Error() }

func (e *commandError) Unwrap() error { return e.err }

// by names the command that does the same; nil stays nil.
func by(err error, command string, args ...any) error {
	if err == nil {
		return nil
	}
	return &commandError{err: err, command: fmt.Sprintf(command, args...)}
}

// fail notes everything that an error joins.
func (r *run) fail(what string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			r.fail(what, one)
		}
		return
	}
	how := "kubernaut must-gather"
	if named, ok := errors.AsType[*commandError](err); ok {
		how = named.command
	}
	r.missed(what, r.reason(err), how)
}

// reason says why something failed, in one line.
func (r *run) reason(err error) string {
	const longest = 500
	if errors.Is(err, context.DeadlineExceeded) || apierrors.IsTimeout(err) {
		return fmt.Sprintf("timed out after %s: %s", r.TimeLimit, printable.Line(err.Error()))
	}
	text := printable.Line(err.Error())
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "")
	}
	return text
}

// missed notes something that could not be collected.
func (r *run) missed(what, why, how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, failure{what: printable.Line(what), why: why, how: printable.Line(how)})
}

// notCollected is the text of not-collected.txt.
func (r *run) notCollected() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) == 0 {
		return "Everything was collected.\n"
	}
	var text strings.Builder
	for _, f := range r.failures {
		fmt.Fprintf(&text, "%s\n    reason:  %s\n    command: %s\n", f.what, f.why, f.how)
	}
	return text.String()
}

// sayf prints progress and logs it.
func (r *run) sayf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	_, _ = fmt.Fprintf(r.Out, "%3.0fs  %s\n", time.Since(r.began).Seconds(), printable.Line(text)) // a terminal may have gone away
	r.files.note(text)
}
