// Package gather runs must-gather when specs have failed.
//
// Each process of a suite records its failed specs in a directory that the processes
// of a run share. At the end, before anything is stopped or removed, the first
// process collects diagnostics once for all of them. A run without failures costs
// nothing.
package gather

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// destVariable names the directory to collect into.
	destVariable = "MUST_GATHER_DEST"
	// maxIDs bounds the requested timelines, maxNamespaces the namespaces.
	maxIDs, maxNamespaces = 30, 6
	// collectTimeout bounds the collection, archiveTimeout an interrupted one.
	collectTimeout = 3 * time.Minute
	archiveTimeout = 30 * time.Second
	// latest is the file with the path of the newest archive.
	latest = "latest"
)

// Failure describes a spec that failed.
type Failure struct {
	Spec           string   `json:"spec"`
	CorrelationIDs []string `json:"correlation_ids"`
	// Namespace is the process's own.
	Namespace string `json:"namespace"`
	// Output of the spec, and of the services that ran in its process.
	Output string `json:"output"`
	// ManagementURLs are those of services outside the cluster. Their state is read
	// at once: at the end of the suite they are stopped.
	ManagementURLs []string `json:"-"`
	// States are their responses, by name.
	States map[string]string `json:"states,omitempty"`
}

// Target is what to collect from.
type Target struct {
	// Kubeconfig of the cluster.
	Kubeconfig string
	// Kubectl is the program; if empty, the one on the path.
	Kubectl string
	// Namespace of the platform, if it runs in the cluster.
	Namespace string
	// DataStorageURL, if it is not a Service of the cluster.
	DataStorageURL string
}

// Run is one run of a suite.
type Run struct {
	dest, notes string
}

// New returns the Run of this process: the processes of a run have the same parent.
// The archive is written to MUST_GATHER_DEST, or to out/must-gather of the
// repository.
func New() *Run {
	dest := os.Getenv(destVariable)
	if dest == "" {
		dest = filepath.Join(repository(), "out", "must-gather")
	}
	return &Run{dest: dest, notes: filepath.Join(dest, "failed-"+strconv.Itoa(os.Getppid()))}
}

// repository is the parent directory that contains go.work.
func repository() string {
	dir := "."
	for range 8 {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		dir = filepath.Join(dir, "..")
	}
	return "."
}

// Begin removes what an earlier run left; the first process calls it before any spec
// runs.
func (r *Run) Begin() error {
	if err := errors.Join(os.RemoveAll(r.notes), os.RemoveAll(filepath.Join(r.dest, latest))); err != nil {
		return fmt.Errorf("remove recorded failures: %w", err)
	}
	return nil
}

// Note records a failure.
func (r *Run) Note(ctx context.Context, f Failure) error {
	f.States = states(ctx, f.ManagementURLs)
	if err := os.MkdirAll(r.notes, 0o750); err != nil {
		return fmt.Errorf("record failure: %w", err)
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("record failure: %w", err)
	}
	file, err := os.CreateTemp(r.notes, "*.json")
	if err != nil {
		return fmt.Errorf("record failure: %w", err)
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("record failure: %w", err)
	}
	return nil
}

// Collect runs must-gather if any process has recorded a failure, and returns the
// path of the archive, else "". It also writes the path to the file "latest" beside
// the archive, so that the caller of the suite can print it last. Progress is written
// to out.
func (r *Run) Collect(ctx context.Context, t Target, out io.Writer) (archive string, err error) {
	failures, err := r.recorded()
	if err != nil || len(failures) == 0 {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), collectTimeout)
	defer cancel()
	logs, err := r.writeLogs(failures)
	if err != nil {
		return "", err
	}
	flags := append([]string{"--dest", r.dest, "--kubeconfig", t.Kubeconfig}, about(failures)...)
	if t.Namespace != "" {
		flags = append(flags, "--namespace", t.Namespace)
	}
	if archive, err = script(ctx, flags, t.environment(logs), out); err != nil {
		return "", err
	}
	if archive, err = filepath.Abs(archive); err != nil {
		return "", fmt.Errorf("name the archive: %w", err)
	}
	if err := os.WriteFile(filepath.Join(r.dest, latest), []byte(archive+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name the archive: %w", err)
	}
	if err := os.RemoveAll(r.notes); err != nil {
		return "", fmt.Errorf("remove recorded failures: %w", err)
	}
	return archive, nil
}

// script runs must-gather and returns the last line of its output.
func script(ctx context.Context, args, environment []string, out io.Writer) (string, error) {
	path := filepath.Join(repository(), "hack", "must-gather.sh")
	cmd := exec.CommandContext(ctx, "bash", append([]string{path}, args...)...)
	cmd.Env = append(os.Environ(), environment...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&output, out), out
	// An interrupted script archives what it has collected.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = archiveTimeout
	if err := cmd.Run(); err != nil && output.Len() == 0 {
		return "", fmt.Errorf("collect with %s: %w", path, err)
	}
	lines := strings.Split(strings.TrimSpace(output.String()), "\n")
	return lines[len(lines)-1], nil
}

func (t Target) environment(logs string) []string {
	environment := []string{"EXTRA_LOGS=" + logs}
	if t.Kubectl != "" {
		environment = append(environment, "KUBECTL="+t.Kubectl)
	}
	if t.DataStorageURL != "" {
		environment = append(environment, "MUST_GATHER_DATASTORAGE_URL="+t.DataStorageURL)
	}
	return environment
}

func (r *Run) recorded() ([]Failure, error) {
	files, err := filepath.Glob(filepath.Join(r.notes, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("read recorded failures: %w", err)
	}
	failures := make([]Failure, 0, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read recorded failure: %w", err)
		}
		var f Failure
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, fmt.Errorf("read recorded failure %s: %w", file, err)
		}
		failures = append(failures, f)
	}
	return failures, nil
}

// writeLogs makes a log of each failed spec's output.
func (r *Run) writeLogs(failures []Failure) (string, error) {
	logs := filepath.Join(r.notes, "logs")
	if err := os.MkdirAll(logs, 0o750); err != nil {
		return "", fmt.Errorf("write logs of failed specs: %w", err)
	}
	for i := range failures {
		text := failures[i].Spec + "\n\n" + failures[i].Output
		name := filepath.Join(logs, fmt.Sprintf("spec-%d", i+1))
		errs := []error{os.WriteFile(name+".log", []byte(text), 0o600)}
		for what, state := range failures[i].States {
			errs = append(errs, os.WriteFile(name+"-"+what+".txt", []byte(state), 0o600))
		}
		if err := errors.Join(errs...); err != nil {
			return "", fmt.Errorf("write log of a failed spec: %w", err)
		}
	}
	return logs, nil
}

// about returns the flags for the failed specs' correlation ids and namespaces.
func about(failures []Failure) []string {
	ids := make([]string, 0, maxIDs)
	namespaces := make([]string, 0, len(failures))
	for i := range failures {
		ids = append(ids, failures[i].CorrelationIDs...)
		namespaces = append(namespaces, failures[i].Namespace)
	}
	ids = distinct(ids)
	ids = ids[:min(maxIDs, len(ids))]
	flags := make([]string, 0, 2*(len(ids)+len(namespaces)+1)) //nolint:mnd // a flag and its value
	for _, id := range ids {
		flags = append(flags, "--correlation-id", id)
	}
	namespaces = distinct(namespaces)
	for _, namespace := range namespaces[:min(maxNamespaces, len(namespaces))] {
		flags = append(flags, "--namespace", namespace)
	}
	return flags
}

func distinct(values []string) []string {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	slices.Sort(values)
	return slices.Compact(values)
}
