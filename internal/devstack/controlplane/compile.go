package controlplane

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/devstack/supervise"
)

// The versions that are compiled; the files in the folder build pin them and
// all that they depend on. KubernetesVersion is the one of the client
// libraries that this repository uses.
const (
	KubernetesVersion = "v1.37.2"
	EtcdVersion       = "v3.7.0"
)

// lockPoll is how often a process checks whether another one has compiled.
const lockPoll = time.Second

// wrapper is a Go module that requires the program's module: that has replace
// directives, which a main module alone may have.
type wrapper struct {
	name     string
	hint     string
	mod, sum string
	packages []string
	flags    string
	// output names the program whose package's name ends in a version.
	output string
}

//go:embed build/kubernetes.mod.txt
var kubernetesMod string //nolint:gochecknoglobals // embedded file

//go:embed build/kubernetes.sum.txt
var kubernetesSum string //nolint:gochecknoglobals // embedded file

//go:embed build/etcd.mod.txt
var etcdMod string //nolint:gochecknoglobals // embedded file

//go:embed build/etcd.sum.txt
var etcdSum string //nolint:gochecknoglobals // embedded file

// serverWrappers make a control plane without controllers.
func serverWrappers() []wrapper {
	return []wrapper{{
		name: etcdName, mod: etcdMod, sum: etcdSum,
		packages: []string{"go.etcd.io/etcd/server/v3"}, flags: "-s -w", output: etcdName,
	}, {
		name: "kube-apiserver and kubectl", hint: ", about 5 minutes", mod: kubernetesMod, sum: kubernetesSum,
		packages: []string{"k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kubectl"},
		flags:    versionFlags(),
	}}
}

// controllerWrappers make the controllers of a control plane.
func controllerWrappers() []wrapper {
	return []wrapper{{
		name: controllersName, hint: ", about 3 minutes", mod: kubernetesMod, sum: kubernetesSum,
		packages: []string{"k8s.io/kubernetes/cmd/" + controllersName}, flags: versionFlags(),
	}}
}

// versionFlags makes the programs report their version, as a build from the
// source tree does.
func versionFlags() string {
	major, minor, _ := strings.Cut(strings.TrimPrefix(KubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	var flags strings.Builder
	flags.WriteString("-s -w")
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, value := range []string{
			"gitVersion=" + KubernetesVersion, "gitMajor=" + major, "gitMinor=" + minor,
			"gitTreeState=clean", "gitCommit=goproxy", "buildDate=1970-01-01T00:00:00Z",
		} {
			fmt.Fprintf(&flags, " -X %s.%s", pkg, value)
		}
	}
	return flags.String()
}

// cacheDir returns the folder that holds what was compiled under a name that
// says the versions.
func cacheDir(versions string) (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", unavailablef("no cache folder: %v", err)
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "kubernaut", "control-plane", versions+"-"+runtime.GOOS+"-"+runtime.GOARCH), nil
}

// serverVersions name the folder of kube-apiserver, kubectl and etcd.
const serverVersions = KubernetesVersion + "-etcd-" + EtcdVersion

func fromCache(context.Context) (Programs, error) {
	dir, err := cacheDir(serverVersions)
	if err != nil {
		return Programs{}, err
	}
	return programsIn(dir, "compiled, in "+dir)
}

func compileServers(ctx context.Context, report progress.Func) (Programs, error) {
	return compile(ctx, serverVersions, serverWrappers(), fromCache, report)
}

// compile builds programs into the cache, where find finds them. Of several
// processes one builds and the others wait for it.
func compile[Found any](ctx context.Context, versions string, wrappers []wrapper, find func(context.Context) (Found, error), report progress.Func) (_ Found, err error) {
	var none Found
	tool, err := goTool()
	if err != nil {
		return none, err
	}
	target, err := cacheDir(versions)
	if err != nil {
		return none, err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return none, fmt.Errorf("make cache: %w", err)
	}
	lock := flock.New(target + ".lock")
	end := report.During("waiting for another process to compile the control plane", nil)
	_, err = lock.TryLockContext(ctx, lockPoll)
	end()
	if err != nil {
		return none, fmt.Errorf("lock %s: %w", target, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if found, err := find(ctx); err == nil {
		return found, nil
	}
	if err := buildInto(ctx, target, tool, wrappers, report); err != nil {
		return none, err
	}
	return find(ctx)
}

// buildInto replaces a folder with one that has the programs of all wrappers.
func buildInto(ctx context.Context, target, tool string, wrappers []wrapper, report progress.Func) (err error) {
	dir, err := supervise.Temporary(ctx, "compile")
	if err != nil {
		return fmt.Errorf("prepare build: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	fresh := target + ".new" // discards what an interrupted build left there
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o755)); err != nil {
		return fmt.Errorf("prepare build: %w", err)
	}
	for _, w := range wrappers {
		if err := w.build(ctx, tool, dir, fresh, report); err != nil {
			return errors.Join(fmt.Errorf("compile %s: %w", w.name, err), os.RemoveAll(fresh))
		}
	}
	if err := errors.Join(os.RemoveAll(target), os.Rename(fresh, target)); err != nil {
		return fmt.Errorf("store compiled programs: %w", err)
	}
	return nil
}

func (w *wrapper) build(ctx context.Context, tool string, dir *supervise.Dir, out string, report progress.Func) error {
	module, err := os.MkdirTemp(dir.Path(), "module-")
	if err != nil {
		return fmt.Errorf("make module: %w", err)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(module, "go.mod"), []byte(w.mod), 0o600),
		os.WriteFile(filepath.Join(module, "go.sum"), []byte(w.sum), 0o600),
	); err != nil {
		return fmt.Errorf("make module: %w", err)
	}
	if w.output != "" {
		out = filepath.Join(out, w.output)
	} else {
		out += string(filepath.Separator) // a folder, also for one package
	}
	counter := &lineCounter{}
	report.Sayf("first run: compiling %s%s", w.name, w.hint)
	end := report.During("compiling "+w.name, counter.String)
	defer end()
	if _, err := supervise.Run(ctx, dir, supervise.Spec{
		Name: "go build", Path: tool, WorkingDir: module, Output: counter, StopSignal: syscall.SIGKILL,
		Args: append([]string{"build", "-v", "-trimpath", "-ldflags", w.flags, "-o", out}, w.packages...),
		Env:  append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false -mod=readonly"),
	}); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	return nil
}

// lineCounter counts the lines of "go build -v", one for each package.
type lineCounter struct{ lines atomic.Int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines.Add(int64(bytes.Count(p, []byte{'\n'})))
	return len(p), nil
}

func (c *lineCounter) String() string { return strconv.FormatInt(c.lines.Load(), 10) + " packages" }

// goTool finds the go command.
func goTool() (string, error) {
	if path, err := exec.LookPath("go"); err == nil {
		return path, nil
	}
	const usual = "/usr/local/go/bin/go"
	if _, err := os.Stat(usual); err != nil {
		return "", unavailable("no go command")
	}
	return usual, nil
}
