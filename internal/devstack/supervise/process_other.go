//go:build unix && !linux

package supervise

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attributes has no parent-death signal here: the next start ends the orphans.
func attributes(spec *Spec) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: spec.User}
}

// processStart returns the process's start time, which distinguishes it from an
// earlier or later process with the same id.
func processStart(pid int) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	state, started, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if started == "" || strings.HasPrefix(state, "Z") {
		return "", fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return strings.TrimSpace(started), nil
}
