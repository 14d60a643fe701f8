package spool

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// The parts of raft-wal's format that matter for going on behind damage: a
// file header, then frames of an eight byte header (type, three zero bytes,
// length) and a payload that is padded to eight bytes.
const (
	fileHeaderBytes  = 32
	frameHeaderBytes = 8
)

// walk calls visit with every whole record in the image of a segment file and
// the offset of its frame, and tells how many bytes were neither that nor empty. Where a frame is damaged,
// walk takes what stands complete before it, and goes on with the next whole
// record: raft-wal alone would give up the rest of the segment. A record is
// valid only during the call.
func walk(image []byte, base, id uint64, visit func(record []byte, at int64) error) (unreadable int64, err error) {
	for start := int64(fileHeaderBytes); ; {
		pass := &view{image: image, start: start, commitAt: -1}
		if err := pass.read(base, id, visit); err != nil {
			return unreadable, err
		}
		stopped := pass.stopped
		if pass.committed < stopped {
			// Whole entries without the commit behind them: it is damaged, or a
			// crash came before it. Each record proves itself.
			partial := &view{image: image, start: pass.committed, commitAt: stopped}
			if err := partial.read(base, id, visit); err != nil {
				return unreadable, err
			}
		}
		if stopped >= int64(len(image)) {
			return unreadable, nil
		}
		next := resume(image, stopped)
		unreadable += int64(len(bytes.TrimRight(image[stopped:next], "\x00")))
		if next == int64(len(image)) {
			return unreadable, nil
		}
		start = next
	}
}

// resume finds the next whole record behind a damaged frame, or the end of the image.
func resume(image []byte, damaged int64) int64 {
	for at := damaged + frameHeaderBytes; at+frameHeaderBytes <= int64(len(image)); at += frameHeaderBytes {
		if image[at] == segment.FrameEntry && image[at+1]|image[at+2]|image[at+3] == 0 && wholeEntry(image, at) {
			return at
		}
	}
	return int64(len(image))
}

// wholeEntry says whether there is a whole record in the frame at an offset.
func wholeEntry(image []byte, at int64) bool {
	payload := at + frameHeaderBytes
	length := int64(binary.LittleEndian.Uint32(image[at+4:]))
	return payload+length <= int64(len(image)) && whole(image[payload:payload+length])
}

// view shows the image of a segment to raft-wal's reader as if its frames began at start.
type view struct {
	image []byte
	start int64
	// commitAt is where a commit is shown whatever is there, with nothing behind
	// it; -1 for nowhere.
	commitAt int64

	// stopped is the offset of the newest frame header read, committed the one
	// behind the newest commit.
	stopped, committed int64
	// entry is the offset of the frame of the newest entry read.
	entry int64
}

// ReadAt implements io.ReaderAt. Reads of eight bytes that go forward are those of frame headers.
func (v *view) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= fileHeaderBytes {
		offset += v.start - fileHeaderBytes
	}
	isHeader := len(p) == frameHeaderBytes && offset >= v.stopped
	if isHeader {
		v.stopped = offset
	} else {
		v.entry = offset - frameHeaderBytes
	}
	if isHeader && v.commitAt >= 0 && offset >= v.commitAt {
		if offset > v.commitAt {
			return 0, io.EOF
		}
		copy(p, []byte{segment.FrameCommit, 0, 0, 0, 0, 0, 0, 0})
		return len(p), nil
	}
	if offset >= int64(len(v.image)) {
		return 0, io.EOF
	}
	n := copy(p, v.image[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	if isHeader {
		v.inspect(p, offset)
	}
	return n, nil
}

// Close implements io.Closer.
func (v *view) Close() error { return nil }

// read visits the records of the view up to the first damaged frame.
func (v *view) read(base, id uint64, visit func(record []byte, at int64) error) error {
	v.stopped, v.committed = v.start, v.start
	dump := func(_ types.SegmentInfo, entry types.LogEntry) (bool, error) {
		if err := visit(entry.Data, v.entry); err != nil {
			return false, err
		}
		return true, nil
	}
	return segment.NewFiler("", viewFiles{view: v}).DumpSegment(base, id, 0, 0, dump) //nolint:wrapcheck // it is visit's
}

// inspect follows the frames, and ends the reading at a damaged one.
func (v *view) inspect(frame []byte, offset int64) {
	switch frame[0] {
	case segment.FrameCommit:
		v.committed = offset + frameHeaderBytes
	case segment.FrameEntry:
		if !wholeEntry(v.image, offset) {
			clear(frame)
		}
	case segment.FrameIndex:
		clear(frame) // none is ever written
	}
}

// viewFiles is a file system of one file.
type viewFiles struct {
	types.VFS

	view *view
}

func (f viewFiles) OpenReader(string, string) (types.ReadableFile, error) { return f.view, nil }
