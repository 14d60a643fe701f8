package spool

import (
	"errors"
	"io"
)

// ErrInUse is wrapped by Open's error when another process, or another spool
// of this one, has the directory.
var ErrInUse = errors.New("spool directory is in use")

// Files is the file system that a spool lives on. Errors follow package os: a
// file that is not there is fs.ErrNotExist, one that is there already
// fs.ErrExist, a full medium syscall.ENOSPC. It may be used from several
// goroutines at the same time.
type Files interface {
	// MakeDir makes a directory for its owner alone (0700), with its parents,
	// durably. One that is there already stays as it is.
	MakeDir(dir string) error
	// List gives the entries of a directory in the order of their names.
	List(dir string) ([]Entry, error)
	// Lock takes the exclusive lock of a directory, which closing it gives back,
	// as does the death of the process. Where it is taken the error wraps ErrInUse.
	Lock(dir string) (io.Closer, error)
	// Create makes a file (0600) that must not be there yet, with so many zero
	// bytes if the file system can allocate them, else empty. On error there is
	// no file. It is durable after a Sync of the file and a SyncDir.
	Create(path string, size int64) (File, error)
	// Open opens a file for reading and writing.
	Open(path string) (File, error)
	// Rename replaces what has the new name, in one step. It is durable after a SyncDir.
	Rename(from, to string) error
	// Remove removes a file. It is durable after a SyncDir.
	Remove(path string) error
	// SyncDir makes the entries of a directory durable.
	SyncDir(dir string) error
}

// Mountable is what Files are as well if they tell processes apart:
// a disk for tests that crashes. Open works on what Mount gives, so that a spool
// of a process that ended can touch nothing any more.
type Mountable interface {
	// Mount gives the files for one process. They may be those that it is given,
	// which are those of WithFiles: a wrapper of the Mountable, perhaps.
	Mount(files Files) Files
}

// Entry is a file or a directory in a directory.
type Entry struct {
	Name string
	Dir  bool
	// Bytes is the size of a file.
	Bytes int64
}

// File is an open file. Its methods may be called at the same time.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// Sync makes the contents and the size durable. After an error nobody knows
	// what is on the medium, and a second Sync that succeeds proves nothing:
	// the kernel may have dropped the pages that it could not write.
	Sync() error
	// Truncate sets the size, in bytes.
	Truncate(size int64) error
}
