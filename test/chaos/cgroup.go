package chaos

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup is a control group with a memory limit, for one process. Without a
// writable memory controller it has no directory and no limit: the peak is then
// that of the process (VmHWM).
type cgroup struct {
	dir    string
	oomKey string // file and key of the count of OOM kills
}

// newCgroup makes a control group, of version 2 or else 1. The caller closes it.
func newCgroup(name string, limit int64) (*cgroup, error) {
	for _, version := range []struct{ root, limit, oom string }{
		{"/sys/fs/cgroup", "memory.max", "memory.events"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control"},
	} {
		if version.limit == "memory.max" && !hasMemoryController(version.root) {
			continue
		}
		g := &cgroup{dir: filepath.Join(version.root, fmt.Sprintf("kubernaut-%s-%d", name, os.Getpid())), oomKey: version.oom}
		if os.Mkdir(g.dir, 0o755) != nil { //nolint:mnd // as its siblings
			continue
		}
		if err := os.WriteFile(filepath.Join(g.dir, version.limit), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
			return nil, errors.Join(fmt.Errorf("limit memory: %w", err), g.close())
		}
		return g, nil
	}
	return &cgroup{}, nil
}

func hasMemoryController(root string) bool {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
	return err == nil && bytes.Contains(controllers, []byte("memory"))
}

func (g *cgroup) close() error {
	if g.dir == "" {
		return nil
	}
	if err := os.Remove(g.dir); err != nil {
		return fmt.Errorf("remove control group: %w", err)
	}
	return nil
}

// command is what starts a program in the group.
func (g *cgroup) command(program string, args []string) (path string, wrapped []string) {
	if g.dir == "" {
		return program, args
	}
	const script = `echo $$ > "$0" && exec "$@"`
	return "/bin/sh", append([]string{"-c", script, filepath.Join(g.dir, "cgroup.procs"), program}, args...)
}

// oomKills is how often the kernel killed a process of the group.
func (g *cgroup) oomKills() (int64, error) {
	if g.dir == "" {
		return 0, nil
	}
	return keyed(filepath.Join(g.dir, g.oomKey), "oom_kill")
}

// peak is the most memory that a process has had, in bytes.
func peak(pid int) (int64, error) {
	const kibi = 1 << 10
	n, err := keyed(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	return n * kibi, err
}

// keyed reads a number behind a key.
func keyed(file, key string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == key {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", key, err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("read %s: not in %s", key, file)
}
