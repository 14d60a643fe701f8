// Package consent decides whether a program may change the machine that it runs on.
//
// A person allows a change in advance (--install) or answers a question on the
// terminal. Without either, nothing is changed and the error names the command
// that makes the change.
package consent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Change describes what a program is about to do to the machine.
type Change struct {
	// What completes the sentence "Kubernaut needs to ...".
	What string
	// Command makes the change by hand.
	Command string
}

// Func returns nil if the change is allowed, a *RefusedError if it is not, and
// any other error if the question could not be asked. A nil Func refuses every change.
type Func func(ctx context.Context, change Change) error

// Check asks f.
func (f Func) Check(ctx context.Context, change Change) error {
	if f == nil {
		return &RefusedError{Change: change, Reason: notAsked}
	}
	return f(ctx, change)
}

const (
	notAsked = "this program does not change the machine without consent"
	declined = "declined"
)

// RefusedError reports a change that was not allowed.
type RefusedError struct {
	Change Change
	Reason string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: run %q, or repeat with --install (with make: INSTALL=1)", e.Reason, e.Change.Command)
}

// Console writes to a person and asks for consent. It is safe for concurrent use.
type Console struct {
	// mu is held while a question is open, so that nothing is written between the question and its answer.
	mu       sync.Mutex
	install  bool
	terminal bool
	in       io.Reader
	out      io.Writer
}

// NewConsole returns a console on in and out. It allows every change if
// install is set, and asks only if both are terminals.
func NewConsole(install bool, in io.Reader, out io.Writer) *Console {
	return &Console{install: install, terminal: isTerminal(in) && isTerminal(out), in: in, out: out}
}

// Write waits until no question is open.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.out.Write(p)
	if err != nil {
		return n, fmt.Errorf("write to console: %w", err)
	}
	return n, nil
}

// Allow is a Func.
func (c *Console) Allow(ctx context.Context, change Change) error {
	switch {
	case c.install:
		return nil
	case !c.terminal:
		return &RefusedError{Change: change, Reason: notAsked}
	}
	yes, err := c.Ask(ctx, fmt.Sprintf("Kubernaut needs to %s (%s).\nContinue?", change.What, change.Command))
	if err != nil {
		return err
	}
	if !yes {
		return &RefusedError{Change: change, Reason: declined}
	}
	return nil
}

// Terminal reports whether a person can be asked.
func (c *Console) Terminal() bool { return c.terminal }

// Ask asks a question, and takes everything but an explicit yes as a no.
func (c *Console) Ask(ctx context.Context, question string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := fmt.Fprintf(c.out, "%s [y/N] ", question); err != nil {
		return false, fmt.Errorf("ask for consent: %w", err)
	}
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // ends with the process if nobody answers: a read from a terminal cannot be interrupted
		line, err := bufio.NewReader(c.in).ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return false, fmt.Errorf("ask for consent: %w", context.Cause(ctx))
	case a := <-answers:
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return false, fmt.Errorf("read answer: %w", a.err)
		}
		line := strings.ToLower(strings.TrimSpace(a.line))
		return line == "y" || line == "yes", nil
	}
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
