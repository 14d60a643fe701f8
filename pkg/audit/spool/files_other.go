//go:build !linux

package spool

import "os"

// allocate does nothing: the file grows as it is written.
func allocate(*os.File, int64) error { return nil }

func datasync(f *os.File) error {
	return f.Sync() //nolint:wrapcheck // names the operation and the path
}
