package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// patience is what the tests of a promise may take without any mutant, on a machine that is busy with other things.
	patience = 10 * time.Minute
	// minTimeout and times bound the tests of a mutant, which may hang: times what they take without any mutant. The
	// machine may be busier by then.
	minTimeout = time.Minute
	times      = 10
	// tail is how much of a command's output an error quotes, in bytes.
	tail = 2000
)

var (
	errSurvived   = errors.New("SURVIVED: every test of the promise passes")
	failedTest    = regexp.MustCompile(`(?m)^(?:--- FAIL: |\s+)(Test\w+)[ /(]`)
	testTimedOut  = []byte("panic: test timed out")
	promiseOfTest = regexp.MustCompile(`^Test([A-Z][0-9]+)_`)
)

// passes checks that the selected promises' tests pass without any mutant, and
// that every promise which has a test has a mutant. It returns what a mutant of
// each promise may take.
func (s suite) passes(ctx context.Context, work string, selected []mutant) (map[string]time.Duration, error) {
	binary, err := s.build(ctx, work, "")
	if err != nil {
		return nil, fmt.Errorf("without any mutant: %w", err)
	}
	timeouts := map[string]time.Duration{}
	for _, m := range selected {
		if _, measured := timeouts[m.promise]; measured {
			continue
		}
		began := time.Now()
		if out, err := s.test(ctx, binary, m.promise, patience); err != nil {
			return nil, fmt.Errorf("the tests of %s fail without any mutant: %w\n%s", m.promise, err, end(out))
		}
		timeouts[m.promise] = max(minTimeout, times*time.Since(began))
	}
	listed, err := exec.CommandContext(ctx, binary, "-test.list=.").Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests of %s: %w", s.dir, err)
	}
	for name := range strings.Lines(string(listed)) {
		promise := promiseOfTest.FindStringSubmatch(name)
		if promise != nil && !slices.ContainsFunc(s.mutants, func(m mutant) bool { return m.promise == promise[1] }) {
			return nil, fmt.Errorf("no mutant breaks %s, which %s tests", promise[1], strings.TrimSpace(name))
		}
	}
	return timeouts, nil
}

// catch returns the tests that fail with a mutant.
func (s suite) catch(ctx context.Context, work string, m mutant, timeout time.Duration) (string, error) {
	overlay, err := s.overlay(work, m)
	if err != nil {
		return "", err
	}
	binary, err := s.build(ctx, work, overlay)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(binary) }()
	out, err := s.test(ctx, binary, m.promise, timeout)
	if err == nil {
		return "", errSurvived
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	var failed []string
	for _, match := range failedTest.FindAllSubmatch(out, -1) {
		failed = append(failed, string(match[1]))
	}
	slices.Sort(failed)
	failed = slices.Compact(failed)
	switch {
	case len(failed) == 0:
		return "", fmt.Errorf("the tests ended, but none of them failed: %w\n%s", err, end(out))
	case bytes.Contains(out, testTimedOut):
		return "the timeout of " + strings.Join(failed, " "), nil
	default:
		return strings.Join(failed, " "), nil
	}
}

// overlay writes the mutant's files and the overlay that puts them in place.
func (s suite) overlay(work string, m mutant) (string, error) {
	edited := map[string]string{}
	for _, e := range m.edits {
		path, text, err := e.apply(cmp.Or(e.dir, s.dir), edited)
		if err != nil {
			return "", fmt.Errorf("does not apply: %w", err)
		}
		edited[path] = text
	}
	own, err := os.MkdirTemp(work, "mutant-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the mutant: %w", err)
	}
	replaced := map[string]string{}
	for path, text := range edited {
		original, err := filepath.Abs(path)
		if err != nil {
			return "", fmt.Errorf("path of %s: %w", path, err)
		}
		replaced[original] = filepath.Join(own, strings.ReplaceAll(path, string(filepath.Separator), "_"))
		if err := os.WriteFile(replaced[original], []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write mutant: %w", err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", fmt.Errorf("encode overlay: %w", err)
	}
	overlay := filepath.Join(own, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", fmt.Errorf("write overlay: %w", err)
	}
	return overlay, nil
}

// build compiles the suite's tests, through an overlay if there is one. It
// leaves out the race detector, because a mutant has to fail an assertion.
func (s suite) build(ctx context.Context, work, overlay string) (string, error) {
	file, err := os.CreateTemp(work, "*.test")
	if err != nil {
		return "", fmt.Errorf("make a file for the tests: %w", err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("make a file for the tests: %w", err)
	}
	arguments := []string{"test", "-vet=off", "-c", "-ldflags=-s -w", "-o", file.Name()}
	if overlay != "" {
		arguments = append(arguments, "-overlay", overlay)
	}
	command := exec.CommandContext(ctx, "go", append(arguments, "./"+s.dir)...)
	command.Env = append(os.Environ(), "GOGC=400") // builds take most of the time
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not build: %w\n%s", err, end(out))
	}
	return file.Name(), nil
}

// test runs the tests of one promise in the package's folder.
func (s suite) test(ctx context.Context, binary, promise string, timeout time.Duration) ([]byte, error) {
	command := exec.CommandContext(ctx, binary,
		"-test.run="+fmt.Sprintf(s.tests, promise), "-test.count=1", "-test.timeout="+timeout.String())
	command.Dir = s.dir
	return command.CombinedOutput()
}

func end(out []byte) []byte { return out[max(0, len(out)-tail):] }
