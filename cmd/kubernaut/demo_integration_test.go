//go:build integration

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"kubernaut.ai/cmd/kubernaut/stack"
)

const (
	// asProgram makes the test binary run as kubernaut.
	asProgram = "TEST_AS_KUBERNAUT"
	// startPatience is how long a stack may take that finds its programs.
	startPatience = 3 * time.Minute
	demoPatience  = 90 * time.Second
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program is kubernaut with arguments. It is interrupted when the context ends.
func program(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	return c
}

// upAddresses runs kubernaut up, which writes its addresses to the file whose name is returned.
func upAddresses(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "addresses.json")
	up := program(context.Background(), "up", "--install", "--log-level", "warn", "--addresses", file)
	var log bytes.Buffer
	up.Stderr = &log
	ready, announce := io.Pipe()
	up.Stdout = announce
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	t.Cleanup(func() {
		_ = up.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := <-ended; err != nil {
			t.Errorf("kubernaut up: %v\n%s", err, log.String())
		}
	})
	// The file is complete before the first output.
	first := make(chan struct{})
	go func() {
		_, _ = ready.Read(make([]byte, 1))
		close(first)
		_, _ = io.Copy(io.Discard, ready)
	}()
	select {
	case <-first:
	case err := <-ended:
		ended <- err
		t.Fatalf("kubernaut up ended: %v", err)
	case <-time.After(startPatience):
		t.Fatal("kubernaut up is not ready")
	}
	return file
}

// answered runs kubernaut on a terminal, answers its question, and returns what it wrote.
func answered(ctx context.Context, t *testing.T, answer string, args ...string) (string, error) {
	t.Helper()
	c := program(ctx, args...)
	terminal, err := pty.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	var shown bytes.Buffer
	chunk := make([]byte, 4096)
	for asked := false; ; {
		n, err := terminal.Read(chunk)
		shown.Write(chunk[:n])
		if !asked && bytes.HasSuffix(shown.Bytes(), []byte("[y/N] ")) {
			asked = true
			if _, err := io.WriteString(terminal, answer+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil { // a terminal whose program has ended
			break
		}
	}
	err = c.Wait()
	return strings.ReplaceAll(shown.String(), "\r\n", "\n"), err
}

var (
	row   = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  ([a-z_.]+) +(\S+) +(.*)$`)
	logRe = regexp.MustCompile(`(?m)^\S+\t(debug|info|warn|error)\t`)
)

// told checks the order of texts in a story, and returns the types of the events of its trail.
func told(t *testing.T, story string, inOrder ...string) []string {
	t.Helper()
	rest := story
	for _, want := range inOrder {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("%q is not told, or not in order:\n%s", want, story)
		}
		rest = after
	}
	if logRe.MatchString(story) {
		t.Errorf("logs disturb the story:\n%s", story)
	}
	events := row.FindAllStringSubmatch(story, -1)
	types := make([]string, 0, len(events))
	for _, event := range events {
		types = append(types, event[1])
	}
	return types
}

func TestDemo(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	addresses := upAddresses(t)
	ctx, cancel := context.WithTimeout(t.Context(), demoPatience)
	t.Cleanup(cancel)

	t.Run("remediates without asking", func(t *testing.T) {
		c := program(ctx, "demo", "--auto", "--addresses", addresses)
		var out, log bytes.Buffer
		c.Stdout, c.Stderr = &out, &log
		if err := c.Run(); err != nil || log.Len() > 0 {
			t.Fatalf("%v\n%s%s", err, out.String(), log.String())
		}
		types := told(t, out.String(), "stabilization of 2s instead of", "reported as crash-looping", "status firing", "201 Created: created",
			"AwaitingApproval", "+        kubectl.kubernetes.io/restartedAt:", "created by "+stack.AutoUser,
			"generation 1 became 2", "reported as ready", "status resolved", "request Completed", "Effective:",
			"19 events", stack.AutoUser+" approved the plan: the demo runs with --auto", "The trail is complete")
		if len(types) != 19 || !slices.Contains(types, "workflowexecution.execution.completed") {
			t.Errorf("%d events: %v", len(types), types)
		}
	})

	t.Run("remediates what the person approves", func(t *testing.T) {
		story, err := answered(ctx, t, "y", "demo", "--addresses", addresses)
		if err != nil {
			t.Fatalf("%v\n%s", err, story)
		}
		told(t, story, "Approve this, as "+me.Username+"? [y/N] y", "created by "+me.Username, "generation 1 became 2", "Effective:",
			me.Username+" approved the plan", "The trail is complete")
	})

	t.Run("changes nothing that the person rejects", func(t *testing.T) {
		story, err := answered(ctx, t, "n", "demo", "--addresses", addresses)
		if err != nil {
			t.Fatalf("%v\n%s", err, story)
		}
		types := told(t, story, "Approve this, as "+me.Username+"? [y/N] n", "Reject: ", "created by "+me.Username,
			"is untouched: generation 1", "ManualReview (ProposalRejected)", "request Completed", "Resolved:",
			"16 events", me.Username+" rejected the plan", "The trail is complete")
		if len(types) != 16 || slices.Contains(types, "workflowexecution.execution.started") {
			t.Errorf("%d events: %v", len(types), types)
		}
	})

	t.Run("does not hang without a terminal", func(t *testing.T) {
		c := program(ctx, "demo", "--addresses", addresses)
		text, err := c.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(text), "with --auto") {
			t.Errorf("%v: %s", err, text)
		}
	})
}
