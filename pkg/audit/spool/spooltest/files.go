package spooltest

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"syscall"

	"kubernaut.ai/pkg/audit/spool"
)

// process is the disk as one process sees it: after a crash it can touch nothing.
type process struct {
	disk *Disk
	// number of the process, or anyProcess.
	number int
}

// anyProcess is for those who use a Disk without mounting it.
const anyProcess = -1

// Mount implements spool.Mountable: a crash ends what is mounted. A wrapper of a
// disk stays as it is, and outlives crashes, unless it has its own Mount.
func (d *Disk) Mount(files spool.Files) spool.Files {
	if files != spool.Files(d) {
		return files
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return process{d, d.process}
}

// MakeDir implements spool.Files.
func (d *Disk) MakeDir(dir string) error { return process{d, anyProcess}.MakeDir(dir) }

// List implements spool.Files.
func (d *Disk) List(dir string) ([]spool.Entry, error) { return process{d, anyProcess}.List(dir) }

// Lock implements spool.Files.
func (d *Disk) Lock(dir string) (io.Closer, error) { return process{d, anyProcess}.Lock(dir) }

// Create implements spool.Files.
func (d *Disk) Create(name string, size int64) (spool.File, error) {
	return process{d, anyProcess}.Create(name, size)
}

// Open implements spool.Files.
func (d *Disk) Open(name string) (spool.File, error) { return process{d, anyProcess}.Open(name) }

// Rename implements spool.Files.
func (d *Disk) Rename(from, to string) error { return process{d, anyProcess}.Rename(from, to) }

// Remove implements spool.Files.
func (d *Disk) Remove(name string) error { return process{d, anyProcess}.Remove(name) }

// SyncDir implements spool.Files.
func (d *Disk) SyncDir(dir string) error { return process{d, anyProcess}.SyncDir(dir) }

func (l process) MakeDir(dir string) error {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	dir = clean(dir)
	for ; d.entries[dir] == nil; dir = path.Dir(dir) {
		n := &node{dir: true}
		d.entries[dir], d.durable[dir] = n, n
	}
	if !d.entries[dir].dir {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
	}
	return nil
}

func (l process) List(dir string) ([]spool.Entry, error) {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	if n := d.entries[clean(dir)]; n == nil || !n.dir {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var list []spool.Entry
	for _, p := range paths(d.entries) {
		if path.Dir(p) == clean(dir) && p != clean(dir) {
			n := d.entries[p]
			list = append(list, spool.Entry{Name: path.Base(p), Dir: n.dir, Bytes: int64(len(n.data))})
		}
	}
	return list, nil
}

func (l process) Lock(dir string) (io.Closer, error) {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	dir = clean(dir)
	if d.locks[dir] {
		return nil, spool.ErrInUse
	}
	d.locks[dir] = true
	d.open++
	return &lock{disk: d, dir: dir, process: d.process}, nil
}

func (l process) Create(name string, size int64) (spool.File, error) {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	n := &node{}
	err := d.do(Create, "create", name, func() error {
		switch parent := d.entries[path.Dir(clean(name))]; {
		case parent == nil || !parent.dir:
			return fs.ErrNotExist
		case d.entries[clean(name)] != nil:
			return fs.ErrExist
		case d.capacity > 0 && d.used()+size > d.capacity:
			return syscall.ENOSPC
		}
		n.data = make([]byte, size)
		d.change(name, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d.handle(name, n), nil
}

func (l process) Open(name string) (spool.File, error) {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	n, err := d.file("open", name)
	if err != nil {
		return nil, err
	}
	return d.handle(name, n), nil
}

func (l process) Rename(from, to string) error {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	n, err := d.file("rename", from)
	if err != nil {
		return err
	}
	return d.do(Rename, "rename", from, func() error {
		d.change(to, n)
		d.change(from, nil)
		return nil
	})
}

func (l process) Remove(name string) error {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if _, err := d.file("remove", name); err != nil {
		return err
	}
	return d.do(Remove, "remove", name, func() error {
		d.change(name, nil)
		return nil
	})
}

func (l process) SyncDir(dir string) error {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return d.do(SyncDir, "sync", dir, func() error {
		if d.lying {
			return nil
		}
		d.pending = slices.DeleteFunc(d.pending, func(c change) bool {
			inside := path.Dir(c.path) == clean(dir)
			if inside {
				c.apply(d.durable)
			}
			return inside
		})
		return nil
	})
}

// usable is called with the lock.
func (l process) usable() error {
	if l.number != anyProcess && l.number != l.disk.process {
		return errCrashed
	}
	return nil
}

type lock struct {
	disk    *Disk
	dir     string
	process int
}

func (l *lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if l.process == l.disk.process && l.disk.locks[l.dir] {
		delete(l.disk.locks, l.dir)
		l.disk.open--
	}
	return nil
}
