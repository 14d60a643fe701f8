package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/gofrs/flock"
)

const (
	ownerLock   = "owner.lock"
	childrenDir = "children"
	// registryLock serializes creating and sweeping temporary directories.
	registryLock = "registry.lock"
	// dirMode lets children that run as another user reach what is theirs inside.
	dirMode = 0o711
)

// ErrInUse means that a directory's owner is alive.
var ErrInUse = errors.New("in use by another process: stop that process, or use another directory")

// Dir is a directory with a living owner: this process.
type Dir struct {
	path      string
	temporary bool
	owner     *flock.Flock
}

// Temporary makes a directory that Close removes, after it swept what dead
// owners left behind. The context bounds the sweep.
func Temporary(ctx context.Context, name string) (*Dir, error) {
	root, err := registry()
	if err != nil {
		return nil, err
	}
	return temporaryIn(ctx, root, name)
}

func temporaryIn(ctx context.Context, root, name string) (*Dir, error) {
	lock, err := lockRegistry(root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	if err := sweep(ctx, root); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(root, name+"-")
	if err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	d, err := own(path, true)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return d, nil
}

// lockRegistry locks the folder of temporary directories. Under the lock a
// directory without a locked owner is a dead one, never one that is being created
// or removed.
func lockRegistry(root string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(root, registryLock))
	if err := lock.Lock(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", root, err)
	}
	return lock, nil
}

// Open opens a persistent directory, creates it if it does not exist, and
// ends the processes that a dead owner left running on it. It returns an error
// that wraps ErrInUse while another owner is alive.
func Open(ctx context.Context, path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	d, err := own(path, false)
	if err != nil {
		return nil, err
	}
	if err := reap(ctx, path); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func own(path string, temporary bool) (*Dir, error) {
	if temporary {
		if err := os.Chmod(path, dirMode); err != nil {
			return nil, fmt.Errorf("open %s to children of other users: %w", path, err)
		}
	}
	owner := flock.New(filepath.Join(path, ownerLock))
	locked, err := owner.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !locked {
		return nil, fmt.Errorf("directory %s: %w", path, ErrInUse)
	}
	return &Dir{path: path, temporary: temporary, owner: owner}, nil
}

// Path is absolute.
func (d *Dir) Path() string { return d.path }

// Join returns a path inside the directory.
func (d *Dir) Join(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// Close releases the directory and removes a temporary one. Its children must
// have been stopped.
func (d *Dir) Close() error {
	if d.temporary {
		lock, err := lockRegistry(filepath.Dir(d.path))
		if err != nil {
			return fmt.Errorf("close directory %s: %w", d.path, errors.Join(err, d.owner.Close()))
		}
		defer func() { _ = lock.Close() }()
	}
	return d.release()
}

// release is Close for whoever holds the registry's lock.
func (d *Dir) release() error {
	var err error
	if d.temporary {
		err = os.RemoveAll(d.path)
	}
	if err = errors.Join(err, d.owner.Close()); err != nil {
		return fmt.Errorf("close directory %s: %w", d.path, err)
	}
	return nil
}

// registry returns the folder of this user's temporary directories.
func registry() (string, error) {
	base := os.TempDir()
	if os.Geteuid() == 0 && Reachable(base) != nil {
		base = "/tmp" // children do not run as root and could not enter the other
	}
	root := filepath.Join(base, "kubernaut-"+strconv.Itoa(os.Geteuid()))
	if err := os.Mkdir(root, dirMode); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make folder for temporary directories: %w", err)
	}
	// The base is writable for everybody: what is there must be ours.
	info, err := os.Lstat(root)
	if err != nil {
		return "", fmt.Errorf("look at folder for temporary directories: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s is not a directory of this user: remove it, or set TMPDIR", root)
	}
	if err := os.Chmod(root, dirMode); err != nil {
		return "", fmt.Errorf("open %s to children of other users: %w", root, err)
	}
	return root, nil
}

// sweep ends the processes and removes the directories whose owner is dead.
// Whoever calls it holds the registry's lock.
func sweep(ctx context.Context, root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("list temporary directories: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		d, err := own(filepath.Join(root, entry.Name()), true)
		if errors.Is(err, ErrInUse) {
			continue
		}
		if err != nil {
			return err
		}
		if err := reap(ctx, d.path); err != nil {
			return errors.Join(err, d.owner.Close())
		}
		if err := d.release(); err != nil {
			return err
		}
	}
	return nil
}

// Reachable returns nil if any user can enter path: each folder on the way
// must let others through. Children of a process that runs as root, but which
// do not run as root themselves, need that.
func Reachable(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("find %s: %w", path, err)
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, os.ErrNotExist): // will be made with dirMode
		case err != nil:
			return fmt.Errorf("look at %s: %w", dir, err)
		case info.Mode().Perm()&0o001 == 0:
			return fmt.Errorf("%s can be entered by its owner alone", dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
