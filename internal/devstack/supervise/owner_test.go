package supervise

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ownerRoot makes the test binary be an owner: it takes a directory there,
// starts a child for it, tells their names, and waits to be killed.
const (
	ownerRoot = "SUPERVISE_TEST_ROOT"
	ownerKept = "SUPERVISE_TEST_KEPT"
	// survivor lets the child survive the owner, as where the kernel does not
	// signal it.
	survivor = "SUPERVISE_TEST_SURVIVOR=1"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerRoot) != "" || os.Getenv(ownerKept) != "" {
		os.Exit(beOwner())
	}
	os.Exit(m.Run())
}

func beOwner() int {
	ctx := context.Background()
	var d *Dir
	var err error
	if kept := os.Getenv(ownerKept); kept != "" {
		d, err = Open(ctx, kept)
	} else {
		d, err = temporaryIn(ctx, os.Getenv(ownerRoot), "owned")
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	p, err := Start(d, Spec{Name: "child", Path: "/bin/sleep", Args: []string{"3600"}, survives: slices.Contains(os.Environ(), survivor)})
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	_, _ = os.Stdout.WriteString(d.Path() + " " + strconv.Itoa(p.proc.Pid) + "\n")
	select {} // until it is killed
}

// killedOwner runs an owner, kills it with SIGKILL, and returns what it left.
func killedOwner(t *testing.T, env ...string) (dir string, child int, started string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	dir, pid, _ := strings.Cut(strings.TrimSpace(line), " ")
	if child, err = strconv.Atoi(pid); err != nil {
		t.Fatal(err)
	}
	if started, err = processStart(child); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // reports the kill
	return dir, child, started
}

func runs(pid int, started string) bool {
	now, err := processStart(pid)
	return err == nil && now == started
}

func TestNextStartRemovesWhatAKilledOwnerLeft(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	left, child, started := killedOwner(t, ownerRoot+"="+root, survivor)
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("the killed owner left no directory, so this proves nothing: %v", err)
	}
	d, err := temporaryIn(t.Context(), root, "next")
	if err != nil {
		t.Fatal(err)
	}
	if runs(child, started) {
		t.Errorf("child %d still runs", child)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if got := directories(t, root); len(got) != 0 {
		t.Errorf("directories left: %q", got)
	}
}

func TestNextStartOnAKeptDirectoryEndsTheKilledOwnersChildren(t *testing.T) {
	t.Parallel()
	kept := filepath.Join(t.TempDir(), "data")
	_, child, started := killedOwner(t, ownerKept+"="+kept, survivor)
	if err := os.WriteFile(filepath.Join(kept, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	if runs(child, started) {
		t.Errorf("child %d still runs", child)
	}
	if _, err := Open(t.Context(), kept); !errors.Is(err, ErrInUse) {
		t.Errorf("second owner: got %v, want ErrInUse", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(kept, "precious")); err != nil {
		t.Errorf("kept data: %v", err)
	}
}

func TestKernelEndsTheChildrenOfAKilledOwner(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return // the next start ends them there
	}
	_, child, started := killedOwner(t, ownerRoot+"="+t.TempDir())
	if err := waitGone(t.Context(), func() bool { return runs(child, started) }); err != nil {
		t.Errorf("child %d: %v", child, err)
	}
}

func TestSweepSparesTheLiving(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	first, err := temporaryIn(t.Context(), root, "first")
	if err != nil {
		t.Fatal(err)
	}
	second, err := temporaryIn(t.Context(), root, "second")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first.Path()); err != nil {
		t.Errorf("the living owner's directory: %v", err)
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Error(err)
	}
}

func TestOwnersComeAndGoAtOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var owners sync.WaitGroup
	for range 8 {
		owners.Go(func() {
			for range 50 {
				dir, err := temporaryIn(t.Context(), root, "brief")
				if err == nil {
					err = dir.Close()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	owners.Wait()
}

func TestStop(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script string
		killed bool
	}{
		"a child that ends when it is asked": {script: `echo ready; exec sleep 3600`},
		"a child that does not":              {script: `trap "" TERM; echo ready; while :; do sleep 3600; done`, killed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := testDir(t)
			p, err := Start(d, Spec{Name: "child", Path: "/bin/sh", Args: []string{"-c", test.script}})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.WaitFor(t.Context(), "ready"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if test.killed {
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			defer cancel()
			if err := p.Stop(ctx); (err != nil) != test.killed {
				t.Errorf("stop: %v", err)
			}
			if err := p.Stop(t.Context()); err != nil {
				t.Errorf("second stop: %v", err)
			}
			if got := p.Err(); got == nil {
				t.Error("a signalled child ended with exit code 0")
			}
		})
	}
}

func TestWaitForTellsWhyAChildEnded(t *testing.T) {
	t.Parallel()
	p, err := Start(testDir(t), Spec{Name: "child", Path: "/bin/sh", Args: []string{"-c", "echo no room >&2; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	err = p.WaitFor(t.Context(), "ready")
	if err == nil || !strings.Contains(err.Error(), "no room") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	// the grandchild is in the same group and ends too
	_, err := Run(ctx, testDir(t), Spec{Name: "child", Path: "/bin/sh", Args: []string{"-c", "sleep 3600 & wait"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestReapSparesALaterProcessWithTheSameID(t *testing.T) {
	t.Parallel()
	d := testDir(t)
	p, err := Start(d, Spec{Name: "later", Path: "/bin/sleep", Args: []string{"3600"}})
	if err != nil {
		t.Fatal(err)
	}
	other := testDir(t)
	if err := os.Mkdir(other.Join(childrenDir), 0o700); err != nil {
		t.Fatal(err)
	}
	record := other.Join(childrenDir, strconv.Itoa(p.proc.Pid))
	if err := os.WriteFile(record, []byte(`{"name":"earlier","started":"before","signal":9}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := reap(t.Context(), other.Path()); err != nil {
		t.Fatal(err)
	}
	if err := p.proc.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the later process was ended: %v", err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func testDir(t *testing.T) *Dir {
	t.Helper()
	d, err := temporaryIn(t.Context(), t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func directories(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !e.IsDir() })
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
