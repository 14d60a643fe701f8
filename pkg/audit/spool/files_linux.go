package spool

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// allocate gives a new file its size, so that a full disk is found before
// anything is written, and so that fsync has no size to write.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil // the file grows as it is written
		default:
			return err //nolint:wrapcheck // the caller names the file
		}
	}
}

// datasync is fdatasync: contents and size, without the times.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
		default:
			return nil
		}
	}
}
