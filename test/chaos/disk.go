package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// disk is a small file system that can be filled. Mounting one needs root.
type disk struct{ path string }

// newDisk mounts a file system of this size, in bytes. The caller closes it.
func newDisk(ctx context.Context, bytes int64) (*disk, error) {
	path, err := os.MkdirTemp("", "kubernaut-disk-")
	if err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "mode=755,size="+strconv.FormatInt(bytes, 10), "tmpfs", path).CombinedOutput()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mount a disk: %w: %s", err, out), os.Remove(path))
	}
	return &disk{path: path}, nil
}

func (d *disk) ballast() string { return filepath.Join(d.path, "ballast") }

// fill leaves no byte.
func (d *disk) fill() (err error) {
	file, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	const large, page = 1 << 20, 4 << 10
	for _, size := range []int{large, page} {
		for err == nil {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("fill the disk: %w", err)
		}
		err = nil
	}
	return nil
}

// free makes room again.
func (d *disk) free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk: %w", err)
	}
	return nil
}

func (d *disk) close(ctx context.Context) error {
	if out, err := exec.CommandContext(context.WithoutCancel(ctx), "umount", d.path).CombinedOutput(); err != nil {
		return fmt.Errorf("unmount %s: %w: %s", d.path, err, out)
	}
	if err := os.Remove(d.path); err != nil {
		return fmt.Errorf("remove a disk: %w", err)
	}
	return nil
}
