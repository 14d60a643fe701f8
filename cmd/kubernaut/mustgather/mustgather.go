// Package mustgather runs the script that collects what is needed to diagnose
// a cluster. The script is one file that works by itself: hack/must-gather.sh
// is the same.
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

// patience is how long an interrupted script may take to make its archive.
const patience = time.Minute

// Options of Run. The zero value is the script without flags.
type Options struct {
	// Args are the script's flags.
	Args []string
	// Env is added to the process's environment; the script's help names its variables.
	Env []string
	// Stdout gets progress and, as its last line, the archive's path; Stderr complaints.
	Stdout, Stderr io.Writer
}

// Run runs the script until it ends. When ctx ends it is interrupted, and makes
// an archive of what it has. The error of a script that failed is an
// *exec.ExitError, with code 2 for unusable flags.
func Run(ctx context.Context, o Options) error {
	bash, err := exec.LookPath("bash")
	if err != nil {
		return fmt.Errorf("the script needs bash, which is missing: install it, or run must-gather where there is one: %w", err)
	}
	dir, err := os.MkdirTemp("", "kubernaut-must-gather-")
	if err != nil {
		return fmt.Errorf("unpack the script: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the folder for temporary files harms nobody
	path := filepath.Join(dir, "must-gather.sh")
	if err := os.WriteFile(path, script, 0o600); err != nil {
		return fmt.Errorf("unpack the script: %w", err)
	}
	cmd := exec.CommandContext(ctx, bash, append([]string{path}, o.Args...)...) //nolint:gosec // bash, the script and its flags
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.Stdout, cmd.Stderr = o.Stdout, o.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	err = cmd.Run()
	// An interrupted script that made its archive has done what it should.
	if err != nil && ctx.Err() != nil && cmd.ProcessState != nil && cmd.ProcessState.Success() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("must-gather: %w", err)
	}
	return nil
}
