package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// orphanGrace is how long an orphan may take to stop by itself.
	orphanGrace = 15 * time.Second
	// orphanPoll is how often an orphan is checked: it is not a child of this
	// process, so it cannot be waited for.
	orphanPoll = 20 * time.Millisecond
)

// childRecord holds what is needed to find and end a child whose owner is dead.
type childRecord struct {
	Name string `json:"name"`
	// Started distinguishes the process from a later one with the same id.
	Started string         `json:"started"`
	Signal  syscall.Signal `json:"signal"`
}

func (d *Dir) recordChild(pid int, spec *Spec) error {
	started, err := processStart(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at process %s: %w", spec.Name, err)
	}
	data, err := json.Marshal(childRecord{Name: spec.Name, Started: started, Signal: spec.StopSignal})
	if err != nil {
		return fmt.Errorf("encode record of process %s: %w", spec.Name, err)
	}
	if err := os.MkdirAll(d.Join(childrenDir), 0o700); err != nil {
		return fmt.Errorf("make folder for process records: %w", err)
	}
	path := d.Join(childrenDir, strconv.Itoa(pid))
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("record process %s: %w", spec.Name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("record process %s: %w", spec.Name, err)
	}
	return nil
}

func (d *Dir) forgetChild(pid int) {
	// A record that stays is harmless: the start time no longer matches.
	_ = os.Remove(d.Join(childrenDir, strconv.Itoa(pid)))
}

// reap ends the recorded children of a directory whose owner is dead.
func reap(ctx context.Context, path string) error {
	folder := filepath.Join(path, childrenDir)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list process records: %w", err)
	}
	for _, entry := range entries {
		file := filepath.Join(folder, entry.Name())
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			if err := reapOne(ctx, pid, file); err != nil {
				return err
			}
		} else if !strings.HasSuffix(entry.Name(), ".new") {
			return fmt.Errorf("unknown file %s among process records", file)
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("remove process record: %w", err)
		}
	}
	return nil
}

func reapOne(ctx context.Context, pid int, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read process record: %w", err)
	}
	var record childRecord
	if err := json.Unmarshal(data, &record); err != nil {
		return fmt.Errorf("read process record %s: %w", file, err)
	}
	alive := func() bool {
		started, err := processStart(pid)
		return err == nil && started == record.Started
	}
	if !alive() {
		return nil
	}
	_ = syscall.Kill(-pid, record.Signal) // it may have ended in between
	if waitGone(ctx, alive) == nil {
		return nil
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	if err := waitGone(ctx, alive); err != nil {
		return fmt.Errorf("end orphaned process %s (pid %d): %w", record.Name, pid, err)
	}
	return nil
}

func waitGone(ctx context.Context, alive func() bool) error {
	err := wait.PollUntilContextTimeout(ctx, orphanPoll, orphanGrace, true,
		func(context.Context) (bool, error) { return !alive(), nil })
	if err != nil {
		return fmt.Errorf("wait for process: %w", err)
	}
	return nil
}
