package supervise

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

func attributes(spec *Spec) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: spec.StopSignal, Credential: spec.User}
	if spec.survives {
		attr.Pdeathsig = 0
	}
	return attr
}

// processStart returns what tells a process from an earlier or later one with
// the same id: its start time in clock ticks since boot, with the boot's id.
func processStart(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", fmt.Errorf("read state of process %d: %w", pid, err)
	}
	// Fields are counted behind the command, which may hold spaces and brackets:
	// the state is the first of them (3 in proc(5)), the start time is 22.
	const state, startTime = 0, 22 - 3
	_, rest, _ := bytes.Cut(stat, []byte{'('})
	fields := bytes.Fields(rest[bytes.LastIndexByte(rest, ')')+1:])
	if len(fields) <= startTime {
		return "", fmt.Errorf("read state of process %d: %d fields", pid, len(fields))
	}
	if bytes.ContainsAny(fields[state], "ZX") {
		return "", fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return string(bytes.TrimSpace(boot)) + "/" + string(fields[startTime]), nil
}
