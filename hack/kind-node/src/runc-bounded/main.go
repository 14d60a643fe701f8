// Command runc-bounded runs runc after it has taken those capabilities out of a
// container's specification that this machine does not have.
//
// On a machine whose bounding set lacks one (CAP_SYS_RESOURCE, say), Docker
// before version 23 asks for every capability that the kernel knows when a
// container is privileged, and runc refuses: "unable to apply caps: operation
// not permitted". The container gets what the machine has, and no more.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	runc = "/usr/sbin/runc"
	// readable by the owner alone, as the container engine leaves it.
	specMode = 0o600
)

// capabilities by their number, see capability.h of Linux.
const capabilities = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`

func main() {
	// It comes back only if it failed.
	_, _ = fmt.Fprintln(os.Stderr, "runc-bounded:", run(os.Args[1:]))
	os.Exit(1)
}

// run bounds the specifications that the arguments name, and becomes runc.
func run(args []string) error {
	bound, err := bounding()
	if err != nil {
		return err
	}
	for i, argument := range args {
		option, value, joined := strings.Cut(argument, "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch option {
		case "--bundle", "-b": // a container
			err = boundSpec(filepath.Join(value, "config.json"), bound, "process", "capabilities")
		case "--process", "-p": // one more process in a container
			err = boundSpec(value, bound, "capabilities")
		}
		if err != nil {
			return err
		}
	}
	err = syscall.Exec(runc, append([]string{runc}, args...), os.Environ()) //nolint:gosec // what it was called with is for runc
	return fmt.Errorf("run %s: %w", runc, err)
}

// bounding is this process's bounding set.
func bounding() (map[string]bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, fmt.Errorf("read own status: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		text, found := strings.CutPrefix(line, "CapBnd:")
		if !found {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read own bounding set: %w", err)
		}
		bound := map[string]bool{}
		for number, name := range strings.Fields(capabilities) {
			bound["CAP_"+name] = set&(1<<number) != 0
		}
		return bound, nil
	}
	return nil, errors.New("no bounding set in own status")
}

// boundSpec rewrites a file of the OCI runtime specification where the sets of
// capabilities, which path leads to, have more than the bounding set.
func boundSpec(file string, bound map[string]bool, path ...string) error {
	raw, err := os.ReadFile(file) //nolint:gosec // the container engine names it
	if err != nil {
		return fmt.Errorf("read specification: %w", err)
	}
	var spec map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // numbers stay as they are written
	if err := decoder.Decode(&spec); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	sets := spec
	for _, name := range path {
		sets, _ = sets[name].(map[string]any)
	}
	changed := false
	for name, value := range sets {
		set, _ := value.([]any)
		kept := slices.DeleteFunc(slices.Clone(set), func(c any) bool {
			text, _ := c.(string)
			return !bound[text]
		})
		changed = changed || len(kept) != len(set)
		sets[name] = kept
	}
	if !changed {
		return nil
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.WriteFile(file, text, specMode); err != nil { //nolint:gosec // the container engine names it
		return fmt.Errorf("write specification: %w", err)
	}
	return nil
}
