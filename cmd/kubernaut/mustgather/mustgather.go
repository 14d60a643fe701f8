// Package mustgather runs the script that collects diagnostics of a cluster. The
// script is self-contained: hack/must-gather.sh is the same file.
package mustgather

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

//go:embed must-gather.sh
var script []byte

// archiveTimeout bounds the time that an interrupted script takes to write its archive.
const archiveTimeout = time.Minute

// Options of Run. The zero value runs the script without flags.
type Options struct {
	// Args are the script's flags.
	Args []string
	// Env is appended to the environment of the process; the script's help lists its variables.
	Env []string
	// Stdout receives progress and, as its last line, the archive's path; Stderr receives errors.
	Stdout, Stderr io.Writer
}

// Run runs the script until it ends. When ctx ends, the script is interrupted and
// archives what it has collected. The error of a script that failed wraps an
// *exec.ExitError, with code 2 for invalid flags.
func Run(ctx context.Context, o Options) error {
	bash, err := exec.LookPath("bash")
	if err != nil {
		return fmt.Errorf("bash is required: install it, or run must-gather on a machine that has it: %w", err)
	}
	dir, err := os.MkdirTemp("", "kubernaut-must-gather-")
	if err != nil {
		return fmt.Errorf("unpack the script: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary directory does no harm
	path := filepath.Join(dir, "must-gather.sh")
	if err := os.WriteFile(path, script, 0o600); err != nil {
		return fmt.Errorf("unpack the script: %w", err)
	}
	cmd := exec.CommandContext(ctx, bash, append([]string{path}, o.Args...)...) //nolint:gosec // bash, the script and its flags
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.Stdout, cmd.Stderr = o.Stdout, o.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = archiveTimeout
	err = cmd.Run()
	// An interrupted script that wrote its archive has succeeded.
	if err != nil && ctx.Err() != nil && cmd.ProcessState != nil && cmd.ProcessState.Success() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("must-gather: %w", err)
	}
	return nil
}
