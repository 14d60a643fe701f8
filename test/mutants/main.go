package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// mutant is one promise broken in one way.
type mutant struct {
	// promise is the name of the promise, as the names of its tests have it: TestF1_….
	promise string
	// breaks says what goes wrong, in a few words.
	breaks string
	edits  []edit
}

func (m mutant) name() string { return m.promise + " " + m.breaks }

// suite is a package whose tests have to notice the mutants.
type suite struct {
	// dir of the package, from the repository's root.
	dir string
	// tests selects the tests of a promise: a pattern with one %s.
	tests   string
	mutants []mutant
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	pattern := "*"
	if len(os.Args) > 1 {
		pattern = os.Args[1]
	}
	err := run(ctx, pattern, []suite{auditSuite(), dedupSuite()}, os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// run tries every mutant whose name matches, prints a line for each and the
// counts, and fails unless all of them are caught.
func run(ctx context.Context, pattern string, suites []suite, out io.Writer) error {
	work, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return fmt.Errorf("make a folder for the mutants: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	total, caught := 0, 0
	var failures []error
	for _, s := range suites {
		selected, err := s.matching(pattern)
		if err != nil {
			return err
		}
		if len(selected) == 0 {
			continue
		}
		timeouts, err := s.passes(ctx, work, selected)
		if err != nil {
			return err
		}
		for v := range s.try(ctx, work, selected, timeouts) {
			total++
			if v.err == nil {
				caught++
				_, _ = fmt.Fprintf(out, "mutant %s: caught by %s\n", v.mutant.name(), v.caughtBy)
				continue
			}
			_, _ = fmt.Fprintf(out, "mutant %s: NOT CAUGHT: %v\n", v.mutant.name(), v.err)
			failures = append(failures, fmt.Errorf("%s: %w", v.mutant.name(), v.err))
		}
	}
	_, _ = fmt.Fprintf(out, "mutants %d caught %d survived %d\n", total, caught, total-caught)
	if total == 0 {
		return fmt.Errorf("no mutant matches %q", pattern)
	}
	return errors.Join(failures...)
}

func (s suite) matching(pattern string) ([]mutant, error) {
	var selected []mutant
	for _, m := range s.mutants {
		ok, err := path.Match(pattern, m.name())
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if ok {
			selected = append(selected, m)
		}
	}
	return selected, nil
}

// verdict says which tests caught a mutant, or why none did.
type verdict struct {
	mutant   mutant
	caughtBy string
	err      error
}

// try builds and runs the mutants on all cores; the verdicts come as they are reached.
func (s suite) try(ctx context.Context, work string, selected []mutant, timeouts map[string]time.Duration) <-chan verdict {
	mutants := make(chan mutant)
	verdicts := make(chan verdict)
	go func() {
		defer close(mutants)
		for _, m := range selected {
			mutants <- m
		}
	}()
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for m := range mutants {
				caughtBy, err := s.catch(ctx, work, m, timeouts[m.promise])
				verdicts <- verdict{mutant: m, caughtBy: caughtBy, err: err}
			}
		})
	}
	go func() {
		workers.Wait()
		close(verdicts)
	}()
	return verdicts
}
