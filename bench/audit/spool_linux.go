package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// syncData is fdatasync(2).
func syncData(file *os.File) error {
	for {
		err := syscall.Fdatasync(int(file.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err) //nolint:wrapcheck // the caller names the file
		}
	}
}

// written is what this process has passed to write calls so far, in bytes:
// wchar of proc_pid_io(5).
func written() (int64, error) {
	file, err := os.Open("/proc/self/io")
	if err != nil {
		return 0, fmt.Errorf("count written bytes: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if count, ok := strings.CutPrefix(lines.Text(), "wchar: "); ok {
			bytes, err := strconv.ParseInt(count, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("count written bytes: %w", err)
			}
			return bytes, nil
		}
	}
	return 0, errors.Join(errors.New("count written bytes: no wchar in /proc/self/io"), lines.Err())
}
