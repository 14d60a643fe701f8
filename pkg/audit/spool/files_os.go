package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// lockName is the file that the lock of a directory is held on.
const lockName = "lock"

// osFiles is the file system of the machine.
type osFiles struct{}

func (osFiles) MakeDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
	case !errors.Is(err, fs.ErrNotExist):
		return err //nolint:wrapcheck // names the operation and the path
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := (osFiles{}).MakeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err //nolint:wrapcheck // names the operation and the path
	}
	return osFiles{}.SyncDir(parent)
}

func (osFiles) List(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the operation and the path
	}
	entries := make([]Entry, 0, len(found))
	for _, f := range found {
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // names the operation and the path
		}
		entries = append(entries, Entry{Name: f.Name(), Dir: f.IsDir(), Bytes: info.Size()})
	}
	return entries, nil
}

func (osFiles) Lock(dir string) (io.Closer, error) {
	lock := flock.New(filepath.Join(dir, lockName), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Path(), err)
	}
	if !taken {
		return nil, ErrInUse
	}
	return lock, nil
}

func (osFiles) Create(path string, size int64) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the operation and the path
	}
	if size > 0 {
		if err := allocate(f, size); err != nil {
			return nil, errors.Join(fmt.Errorf("allocate %d bytes for %s: %w", size, path, err), f.Close(), os.Remove(path))
		}
	}
	return osFile{f}, nil
}

func (osFiles) Open(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the operation and the path
	}
	return osFile{f}, nil
}

func (osFiles) Rename(from, to string) error {
	return os.Rename(from, to) //nolint:wrapcheck // names the operation and the path
}

func (osFiles) Remove(path string) error {
	return os.Remove(path) //nolint:wrapcheck // names the operation and the path
}

func (osFiles) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err //nolint:wrapcheck // names the operation and the path
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }
