package consent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

func change() Change {
	return Change{What: "install PostgreSQL", Command: "apt-get install postgresql"}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		install, terminal bool
		answer            string
		refused           string // the reason; empty: allowed
		asked             bool
	}{
		"flag, no terminal":       {install: true},
		"flag, terminal":          {install: true, terminal: true},
		"no flag, no terminal":    {answer: "y\n", refused: notAsked},
		"terminal, y":             {terminal: true, answer: "y\n", asked: true},
		"terminal, Yes":           {terminal: true, answer: " Yes \n", asked: true},
		"terminal, no":            {terminal: true, answer: "n\n", refused: declined, asked: true},
		"terminal, empty line":    {terminal: true, answer: "\n", refused: declined, asked: true},
		"terminal, end of input":  {terminal: true, refused: declined, asked: true},
		"terminal, something":     {terminal: true, answer: "maybe\n", refused: declined, asked: true},
		"terminal, y at its end":  {terminal: true, answer: "y", asked: true},
		"terminal, yes and no":    {terminal: true, answer: "yes no\n", refused: declined, asked: true},
		"terminal, second line y": {terminal: true, answer: "no\ny\n", refused: declined, asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			c := &Console{install: test.install, terminal: test.terminal, in: strings.NewReader(test.answer), out: &out}
			err := c.Allow(t.Context(), change())
			if test.refused == "" {
				if err != nil {
					t.Errorf("not allowed: %v", err)
				}
			} else if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Reason != test.refused {
				t.Errorf("got %v, want a refusal: %s", err, test.refused)
			}
			if asked := strings.Contains(out.String(), "install PostgreSQL (apt-get install postgresql)"); asked != test.asked {
				t.Errorf("printed %q, want a question: %t", out.String(), test.asked)
			}
		})
	}
}

func TestRefusedErrorNamesTheCommands(t *testing.T) {
	t.Parallel()
	err := Func(nil).Check(t.Context(), change())
	for _, part := range []string{`"apt-get install postgresql"`, "--install", "INSTALL=1"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not contain %s", err, part)
		}
	}
}

func TestCheckPassesTheChangeOn(t *testing.T) {
	t.Parallel()
	var got Change
	f := Func(func(_ context.Context, c Change) error { got = c; return nil })
	if err := f.Check(t.Context(), change()); err != nil || got != change() {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFilesThatAreNoTerminalsAreNotAsked(t *testing.T) {
	t.Parallel()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	err = NewConsole(false, file, file).Allow(t.Context(), change())
	if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Reason != notAsked {
		t.Errorf("got %v", err)
	}
}

// open returns a console whose question nobody has answered yet.
func open(t *testing.T) (c *Console, answer func(line string)) {
	t.Helper()
	in, person := io.Pipe()
	t.Cleanup(func() { _ = person.Close() })
	return &Console{terminal: true, in: in, out: io.Discard}, func(line string) { _, _ = io.WriteString(person, line) }
}

func TestAnOpenQuestionHoldsOtherOutputBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, answer := open(t)
		allowed := make(chan error, 1)
		go func() { allowed <- c.Allow(t.Context(), change()) }()
		synctest.Wait() // the question is open
		if c.mu.TryLock() {
			t.Error("a write could come between the question and its answer")
			c.mu.Unlock()
		}
		answer("y\n")
		if err := <-allowed; err != nil {
			t.Errorf("not allowed: %v", err)
		}
		if _, err := fmt.Fprintln(c, "compiling etcd"); err != nil {
			t.Errorf("write after the answer: %v", err)
		}
	})
}

func TestTheContextEndsTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, answer := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		allowed := make(chan error, 1)
		go func() { allowed <- c.Allow(ctx, change()) }()
		synctest.Wait()
		cancel()
		if err := <-allowed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		answer("y\n") // ends the reader
	})
}
