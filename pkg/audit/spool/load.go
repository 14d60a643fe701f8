package spool

import (
	"fmt"
	"io"
	"slices"
)

// load reads a whole file of about so many bytes into a buffer, which it grows as needed.
func load(files Files, path string, size int64, into []byte) (_ []byte, err error) {
	file, err := files.Open(path)
	if err != nil {
		return into, err //nolint:wrapcheck // names the operation and the path
	}
	defer func() { _ = file.Close() }()
	into = slices.Grow(into[:0], int(size)+1)
	for {
		if len(into) == cap(into) {
			into = slices.Grow(into, cap(into))
		}
		n, err := file.ReadAt(into[len(into):cap(into)], int64(len(into)))
		into = into[:len(into)+n]
		if err == io.EOF || (err == nil && n == 0) { //nolint:errorlint // ReaderAt returns it bare
			return into, nil
		}
		if err != nil {
			return into, fmt.Errorf("read %s: %w", path, err)
		}
	}
}

const (
	// blockBytes is what is given up with a sector that cannot be read.
	blockBytes = 4 << 10
	// maxUnreadBlocks are so many that the rest of the file is given up as well: a
	// medium may take many seconds for each.
	maxUnreadBlocks = 64
)

// loadAround is load for a medium that may be damaged: what it does not give back
// is zero. unread counts these bytes, and cause is why.
func loadAround(files Files, path string, size int64, into []byte) (image []byte, unread int64, cause error) {
	image, cause = load(files, path, size, into)
	if cause == nil {
		return image, 0, nil
	}
	image = slices.Grow(image[:0], int(size))[:size]
	clear(image)
	file, err := files.Open(path)
	if err != nil {
		return image, size, cause
	}
	defer func() { _ = file.Close() }()
	failed := 0
	for at := int64(0); at < size; at += blockBytes {
		block := image[at:min(at+blockBytes, size)]
		if failed < maxUnreadBlocks {
			if _, err := file.ReadAt(block, at); err == nil || err == io.EOF { //nolint:errorlint // ReaderAt returns it bare
				continue
			}
		}
		failed++
		unread += int64(len(block))
		clear(block)
	}
	if unread == 0 {
		cause = nil // it can be read after all
	}
	return image, unread, cause
}
