package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gofrs/flock"
)

// readOnlyFiles shows a directory of the machine, and keeps in memory what is
// written: opening a spool repairs, and looking at one must not.
type readOnlyFiles struct {
	mu      sync.Mutex
	dirs    map[string]bool       // made in memory
	changed map[string]*shownFile // files that were made or written in memory
}

func newReadOnlyFiles() *readOnlyFiles {
	return &readOnlyFiles{dirs: make(map[string]bool), changed: make(map[string]*shownFile)}
}

// Mount gives the files themselves: they belong to one look.
func (f *readOnlyFiles) Mount(files Files) Files { return files }

func (f *readOnlyFiles) MakeDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.dirs[filepath.Clean(dir)] = true
		return nil
	}
	if err == nil && !info.IsDir() {
		return &fs.PathError{Op: "open", Path: dir, Err: errors.New("not a directory")}
	}
	return err //nolint:wrapcheck // names the operation and the path
}

func (f *readOnlyFiles) List(dir string) ([]Entry, error) {
	entries, err := osFiles{}.List(dir)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && !f.dirs[filepath.Clean(dir)] {
		return nil, err
	}
	for path, file := range f.changed {
		if filepath.Dir(path) != filepath.Clean(dir) {
			continue
		}
		entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Name == filepath.Base(path) })
		entries = append(entries, Entry{Name: filepath.Base(path), Bytes: file.length()})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Lock takes no lock: see lockShared.
func (f *readOnlyFiles) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f *readOnlyFiles) Create(path string, size int64) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed[filepath.Clean(path)] != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	file := &shownFile{written: true, content: make([]byte, size)}
	f.changed[filepath.Clean(path)] = file
	return file, nil
}

func (f *readOnlyFiles) Open(path string) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file := f.changed[filepath.Clean(path)]; file != nil {
		return file, nil
	}
	onDisk, err := os.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the operation and the path
	}
	return &shownFile{onDisk: onDisk, changed: func(file *shownFile) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed[filepath.Clean(path)] = file
	}}, nil
}

func (f *readOnlyFiles) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.changed[filepath.Clean(from)]
	if file == nil {
		return errReadOnly
	}
	delete(f.changed, filepath.Clean(from))
	f.changed[filepath.Clean(to)] = file
	return nil
}

// Remove removes nothing that is on disk: a segment that could go is shown as well.
func (f *readOnlyFiles) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed[filepath.Clean(path)] != nil {
		delete(f.changed, filepath.Clean(path))
		return nil
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // names the operation and the path
	}
	return errReadOnly
}

func (f *readOnlyFiles) SyncDir(string) error { return nil }

var errReadOnly = errors.New("the directory is only looked at")

// shownFile is a file on disk, or in memory once it was written.
type shownFile struct {
	onDisk  *os.File
	changed func(*shownFile) // called, once, before it is written

	mu      sync.Mutex
	written bool
	content []byte // guarded by mu, as is the field before
}

func (f *shownFile) ReadAt(p []byte, offset int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.written {
		return f.onDisk.ReadAt(p, offset) //nolint:wrapcheck // io.EOF is returned bare
	}
	if offset >= int64(len(f.content)) {
		return 0, io.EOF
	}
	n := copy(p, f.content[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt ignores what is there already: a spool writes the end of its newest
// segment again to be sure of it.
func (f *shownFile) WriteAt(p []byte, offset int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.written {
		present := make([]byte, len(p))
		if n, _ := f.onDisk.ReadAt(present, offset); n == len(p) && string(present) == string(p) {
			return len(p), nil
		}
		if err := f.load(); err != nil {
			return 0, err
		}
	}
	if end := offset + int64(len(p)); end > int64(len(f.content)) {
		f.content = append(f.content, make([]byte, end-int64(len(f.content)))...)
	}
	return copy(f.content[offset:], p), nil
}

// Truncate does nothing to a file on disk: what is behind its end is not read.
func (f *shownFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written && size < int64(len(f.content)) {
		f.content = f.content[:size]
	}
	return nil
}

func (f *shownFile) Sync() error { return nil }

func (f *shownFile) Close() error {
	if f.onDisk == nil {
		return nil
	}
	return f.onDisk.Close() //nolint:wrapcheck // names the operation and the path
}

func (f *shownFile) length() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.content))
}

// load moves the file to memory. Called with the lock.
func (f *shownFile) load() error {
	info, err := f.onDisk.Stat()
	if err != nil {
		return err //nolint:wrapcheck // names the operation and the path
	}
	f.content = make([]byte, info.Size())
	if _, err := f.onDisk.ReadAt(f.content, 0); err != nil && !errors.Is(err, io.EOF) {
		return err //nolint:wrapcheck // names the operation and the path
	}
	f.written = true
	f.changed(f)
	return nil
}

// lockShared keeps others from opening a spool while it is looked at. inUse says
// that somebody has it open already. The file of the lock is not made.
func lockShared(dir string) (release func(), inUse bool, err error) {
	path := filepath.Join(dir, lockName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return func() {}, false, nil
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	taken, err := lock.TryRLock()
	if err != nil {
		return nil, false, err //nolint:wrapcheck // the caller names the directory
	}
	return func() { _ = lock.Close() }, !taken, nil
}
