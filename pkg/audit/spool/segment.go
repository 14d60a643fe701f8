package spool

import (
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// Sizes that are no footprint of an event (these are 1 KiB and more).
const (
	// lost is a position whose event is known to be gone.
	lost = 0
	// unused is a position that never had an event, or one that nobody was promised.
	unused = 1
)

// maxPosition is far more than a log can ever reach.
const maxPosition = 1 << 60

// logSegment is one file of the log, and what is known of its positions.
type logSegment struct {
	base, id uint64
	// fileBytes is the size on the medium.
	fileBytes int64
	// sizes are the footprints of the events at base, base+1 and so on, or lost, or unused.
	sizes []uint32
	// missing are lost positions behind those.
	missing uint64
	// unread are the bytes that the medium did not give back when the spool was opened.
	unread int64
	// unreadable are the bytes that were neither whole records nor empty then.
	unreadable int64

	// durable says that its file is there for good: one that could not be made, or
	// not be removed, is listed as well.
	durable bool
	// writer is not nil while the segment is appended to or read by it; room is what may still be written.
	writer types.SegmentWriter
	room   int64
}

// end is the position behind the segment's last.
func (g *logSegment) end() uint64 { return g.known() + g.missing }

// known is the position behind the last of which the size is known.
func (g *logSegment) known() uint64 { return g.base + uint64(len(g.sizes)) }

// size tells what is at a position of the segment.
func (g *logSegment) size(position uint64) uint32 {
	if i := position - g.base; i < uint64(len(g.sizes)) {
		return g.sizes[i]
	}
	return lost
}

// lostFrom gives the lost positions from one on.
func (g *logSegment) lostFrom(from uint64) intervals {
	var found []interval
	for position := max(from, g.base); position < g.known(); position++ {
		if g.size(position) == lost {
			found = append(found, interval{position, position})
		}
	}
	if from = max(from, g.known()); from < g.end() {
		found = append(found, interval{from, g.end() - 1})
	}
	return mergeIntervals(found)
}

// markUnused says that nobody misses the lost ones among some positions.
func (g *logSegment) markUnused(positions intervals) {
	for _, v := range positions.within(g.base, g.known()-1) {
		for position := v.from; position <= v.to; position++ {
			if size := &g.sizes[position-g.base]; *size == lost {
				*size = unused
			}
		}
	}
}

// finish says that some positions are terminal.
func (g *logSegment) finish(positions intervals) {
	for _, v := range positions.within(g.base, g.known()-1) {
		for position := v.from; position <= v.to; position++ {
			g.sizes[position-g.base] = unused
		}
	}
}

func (g *logSegment) name() string {
	return segment.FileName(types.SegmentInfo{BaseIndex: g.base, ID: g.id})
}

// parseSegment reads the name of a segment file.
func parseSegment(name string) (*logSegment, bool) {
	var g logSegment
	if _, err := fmt.Sscanf(name, "%d-%x.wal", &g.base, &g.id); err != nil ||
		g.base == 0 || g.base > maxPosition || g.id > maxPosition || g.name() != name {
		return nil, false
	}
	return &g, true
}

// codec marks the segments as ours in their header.
const codec = 0x6b75_6265_7370_6f6f

// info describes the segment to raft-wal, which never seals it: where a segment
// ends is decided before the write, so that its size is a bound.
func (g *logSegment) info(limit int64) types.SegmentInfo {
	return types.SegmentInfo{BaseIndex: g.base, MinIndex: g.base, ID: g.id, Codec: codec, SizeLimit: uint32(limit)} //nolint:gosec // at most maxGroupBytes
}

// What a segment takes beside its records: a header, eight bytes and padding for
// each record, eight for each commit, and the index that raft-wal would close it with.
const (
	segmentOverhead = 64
	recordOverhead  = 8 + 7 + 4
	commitOverhead  = 8
)

// segmentFiles shows Files to raft-wal.
type segmentFiles struct{ files Files }

func (f segmentFiles) ListDir(dir string) ([]string, error) {
	entries, err := f.files.List(dir)
	if err != nil {
		return nil, err //nolint:wrapcheck // passed through to the caller's own wrapping
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		if !entry.Dir {
			names = append(names, entry.Name)
		}
	}
	return names, nil
}

// Create makes the entry durable as well, before there is anything in the file.
func (f segmentFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	file, err := f.files.Create(filepath.Join(dir, name), int64(size)) //nolint:gosec // at most maxGroupBytes
	if err != nil {
		return nil, err //nolint:wrapcheck // passed through to the caller's own wrapping
	}
	if err := f.files.SyncDir(dir); err != nil {
		_ = file.Close()
		_ = f.files.Remove(filepath.Join(dir, name)) // the caller tries once more
		return nil, err                              //nolint:wrapcheck // passed through to the caller's own wrapping
	}
	return file, nil
}

func (f segmentFiles) Delete(dir, name string) error {
	if err := f.files.Remove(filepath.Join(dir, name)); err != nil {
		return err //nolint:wrapcheck // passed through to the caller's own wrapping
	}
	return f.files.SyncDir(dir) //nolint:wrapcheck // passed through to the caller's own wrapping
}

func (f segmentFiles) OpenReader(dir, name string) (types.ReadableFile, error) {
	return f.files.Open(filepath.Join(dir, name)) //nolint:wrapcheck // passed through to the caller's own wrapping
}

func (f segmentFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	return f.files.Open(filepath.Join(dir, name)) //nolint:wrapcheck // passed through to the caller's own wrapping
}
