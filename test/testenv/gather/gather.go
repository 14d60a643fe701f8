// Package gather runs must-gather when specs have failed.
//
// Each process of a suite records its failed specs in a directory that the processes
// of a run share. At the end, before anything is stopped or removed, the first
// process collects diagnostics once for all of them. A run without failures costs
// nothing.
package gather

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"kubernaut.ai/internal/mustgather"
)

const (
	// destVariable names the directory to collect into.
	destVariable = "MUST_GATHER_DEST"
	// maxIDs bounds the requested timelines, maxNamespaces the namespaces.
	maxIDs, maxNamespaces = 30, 6
	// collectTimeout bounds the collection: what there is by then is archived.
	collectTimeout = 3 * time.Minute
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
	// Namespaces of the platform and of its workflows, if they are in the cluster.
	Namespaces []string
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
	options := about(failures)
	options.Dest, options.Kubeconfig, options.DataStorageURL, options.ExtraLogs, options.Out = r.dest, t.Kubeconfig, t.DataStorageURL, logs, out
	options.Namespaces = append(options.Namespaces, t.Namespaces...)
	if archive, err = mustgather.Run(ctx, options); err != nil {
		return "", fmt.Errorf("collect: %w", err)
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

// about names the failed specs' correlation ids and namespaces.
func about(failures []Failure) mustgather.Options {
	var o mustgather.Options
	for i := range failures {
		for _, id := range failures[i].CorrelationIDs {
			if mustgather.CheckCorrelationID(id) == nil { // specs may try unusable ones
				o.CorrelationIDs = append(o.CorrelationIDs, id)
			}
		}
		o.Namespaces = append(o.Namespaces, failures[i].Namespace)
	}
	o.CorrelationIDs, o.Namespaces = distinct(o.CorrelationIDs), distinct(o.Namespaces)
	o.CorrelationIDs = o.CorrelationIDs[:min(maxIDs, len(o.CorrelationIDs))]
	o.Namespaces = o.Namespaces[:min(maxNamespaces, len(o.Namespaces))]
	return o
}

func distinct(values []string) []string {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	slices.Sort(values)
	return slices.Compact(values)
}
