package spooltest

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"syscall"

	"kubernaut.ai/pkg/audit/spool"
)

// life is the disk as one process sees it: after a crash it can touch nothing.
type life struct {
	disk *Disk
	// number of the life, or anyLife.
	number int
}

// anyLife is for those who use a Disk without mounting it.
const anyLife = -1

// Mount implements spool.Mountable: a crash ends what is mounted. A wrapper of a
// disk stays as it is, and outlives crashes, unless it has a Mount of its own.
func (d *Disk) Mount(files spool.Files) spool.Files {
	if files != spool.Files(d) {
		return files
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return life{d, d.life}
}

// MakeDir implements spool.Files.
func (d *Disk) MakeDir(dir string) error { return life{d, anyLife}.MakeDir(dir) }

// List implements spool.Files.
func (d *Disk) List(dir string) ([]spool.Entry, error) { return life{d, anyLife}.List(dir) }

// Lock implements spool.Files.
func (d *Disk) Lock(dir string) (io.Closer, error) { return life{d, anyLife}.Lock(dir) }

// Create implements spool.Files.
func (d *Disk) Create(name string, size int64) (spool.File, error) {
	return life{d, anyLife}.Create(name, size)
}

// Open implements spool.Files.
func (d *Disk) Open(name string) (spool.File, error) { return life{d, anyLife}.Open(name) }

// Rename implements spool.Files.
func (d *Disk) Rename(from, to string) error { return life{d, anyLife}.Rename(from, to) }

// Remove implements spool.Files.
func (d *Disk) Remove(name string) error { return life{d, anyLife}.Remove(name) }

// SyncDir implements spool.Files.
func (d *Disk) SyncDir(dir string) error { return life{d, anyLife}.SyncDir(dir) }

func (l life) MakeDir(dir string) error {
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

func (l life) List(dir string) ([]spool.Entry, error) {
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

func (l life) Lock(dir string) (io.Closer, error) {
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
	return &lock{disk: d, dir: dir, life: d.life}, nil
}

func (l life) Create(name string, size int64) (spool.File, error) {
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

func (l life) Open(name string) (spool.File, error) {
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

func (l life) Rename(from, to string) error {
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

func (l life) Remove(name string) error {
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

func (l life) SyncDir(dir string) error {
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
func (l life) usable() error {
	if l.number != anyLife && l.number != l.disk.life {
		return errCrashed
	}
	return nil
}

type lock struct {
	disk *Disk
	dir  string
	life int
}

func (l *lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if l.life == l.disk.life && l.disk.locks[l.dir] {
		delete(l.disk.locks, l.dir)
		l.disk.open--
	}
	return nil
}
