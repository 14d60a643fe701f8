//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

// syncData is fsync where there is no fdatasync.
func syncData(file *os.File) error {
	return file.Sync() //nolint:wrapcheck // the caller names the file
}

// written needs Linux's accounting of processes.
func written() (int64, error) {
	return 0, fmt.Errorf("count written bytes: not on %s", runtime.GOOS)
}
