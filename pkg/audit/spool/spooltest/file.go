package spooltest

import (
	"io"
	"io/fs"
	"math/rand/v2"
	"syscall"

	"kubernaut.ai/pkg/audit/spool"
)

// sectorBytes is what a medium writes as a whole.
const sectorBytes = 512

// node is a file or a directory.
type node struct {
	dir bool
	// data is what a process sees, kept what a crash leaves.
	data, kept []byte
	// dirty are the stretches written and not synced.
	dirty []stretch
}

type stretch struct{ from, to int64 }

// sync keeps what is dirty.
func (n *node) sync() {
	n.kept = resize(n.kept, len(n.data))
	for _, s := range n.dirty {
		if to := min(s.to, int64(len(n.data))); s.from < to {
			copy(n.kept[s.from:to], n.data[s.from:to])
		}
	}
	n.dirty = nil
}

// crash forgets what is dirty, but for the sectors that happened to be written.
func (n *node) crash(random *rand.Rand) {
	if random != nil && len(n.dirty) > 0 {
		if random.IntN(2) == 0 {
			n.kept = resize(n.kept, len(n.data))
		}
		for _, s := range n.dirty {
			for at := s.from - s.from%sectorBytes; at < s.to; at += sectorBytes {
				to := min(at+sectorBytes, int64(len(n.kept)), int64(len(n.data)))
				if random.IntN(2) == 0 && at < to {
					copy(n.kept[at:to], n.data[at:to])
				}
			}
		}
	}
	n.dirty = nil
	n.data = append([]byte(nil), n.kept...)
}

func resize(data []byte, size int) []byte {
	if size <= len(data) {
		return data[:size]
	}
	return append(data, make([]byte, size-len(data))...)
}

// handle is an open file.
type handle struct {
	disk    *Disk
	node    *node
	name    string
	process int
	closed  bool
}

func (d *Disk) handle(name string, n *node) spool.File {
	d.open++
	return &handle{disk: d, node: n, name: name, process: d.process}
}

// ReadAt implements io.ReaderAt.
func (h *handle) ReadAt(p []byte, offset int64) (n int, err error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.usable(); err != nil {
		return 0, err
	}
	if err := h.disk.do(Read, "read", h.name, func() error { return nil }); err != nil {
		return 0, err
	}
	if offset >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n = copy(p, h.node.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (h *handle) WriteAt(p []byte, offset int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.usable(); err != nil {
		return 0, err
	}
	err := h.disk.do(Write, "write", h.name, func() error {
		end := offset + int64(len(p))
		grow := end - int64(len(h.node.data))
		if grow > 0 && h.disk.capacity > 0 && h.disk.used()+grow > h.disk.capacity {
			return syscall.ENOSPC
		}
		if grow > 0 {
			h.node.data = resize(h.node.data, int(end))
		}
		copy(h.node.data[offset:], p)
		h.node.dirty = append(h.node.dirty, stretch{offset, end})
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync implements spool.File.
func (h *handle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.usable(); err != nil {
		return err
	}
	synced := false
	err := h.disk.do(Sync, "sync", h.name, func() error {
		synced = true
		if !h.disk.lying {
			h.node.sync()
		}
		return nil
	})
	if !synced {
		h.node.dirty = nil // the pages count as clean, and are not written any more
	}
	return err
}

// Truncate implements spool.File.
func (h *handle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.usable(); err != nil {
		return err
	}
	h.node.data = resize(h.node.data, int(size))
	return nil
}

// Close implements io.Closer.
func (h *handle) Close() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.usable(); err != nil {
		return err
	}
	h.closed = true
	h.disk.open--
	return nil
}

// usable is called with the lock.
func (h *handle) usable() error {
	switch {
	case h.process != h.disk.process:
		return &fs.PathError{Op: "use", Path: h.name, Err: errCrashed}
	case h.closed:
		return &fs.PathError{Op: "use", Path: h.name, Err: fs.ErrClosed}
	default:
		return nil
	}
}
