package spool

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// openQuarantine reads what an earlier process left. What cannot be read counts as damage.
func openQuarantine(files Files, dir string, c config, log func() (terminal, newest uint64)) (*quarantine, error) {
	q := &quarantine{
		dir: dir, files: files, maxEvents: c.quarantineEvents, maxBytes: c.quarantineBytes, log: log,
		kept: make(map[uuid.UUID]listedEvent), next: 1,
	}
	if err := files.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("make quarantine: %w", err)
	}
	q.openNotes()
	entries, err := files.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	discarded := q.discarded()
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name, temporary) && !entry.Dir {
			_ = files.Remove(filepath.Join(dir, entry.Name)) // or when its name is needed again
		}
		var number uint64
		if _, err := fmt.Sscanf(entry.Name, "%d.json", &number); err != nil || batchName(number) != entry.Name || entry.Dir {
			continue // put there, or put aside, by somebody
		}
		q.openBatch(&batch{number: number, discarded: discarded[number]}, entry.Bytes)
	}
	q.tidy(nil)
	// What is seen was renamed, but perhaps not confirmed, before the process died.
	return q, files.SyncDir(dir) //nolint:wrapcheck // names the operation and the path
}

func (q *quarantine) openNotes() {
	notes, lost, err := openNotes(q.files, q.dir)
	if err != nil {
		q.lose(0, err.Error())
	}
	if lost > 0 {
		q.lose(lost, fmt.Sprintf("%s: %d bytes unreadable", notes.path, lost))
	}
	q.notes = notes
}

// discarded gives the ids of the acknowledged events by the number of their
// file. Numbers that a note has are not used again.
func (q *quarantine) discarded() map[uint64]map[uuid.UUID]bool {
	discarded := make(map[uint64]map[uuid.UUID]bool)
	for i := range q.notes.all {
		n := &q.notes.all[i]
		if n.what != acknowledged {
			continue
		}
		q.next = max(q.next, n.batch+1)
		if discarded[n.batch] == nil {
			discarded[n.batch] = make(map[uuid.UUID]bool)
		}
		discarded[n.batch][n.id] = true
	}
	return discarded
}

func (q *quarantine) openBatch(b *batch, bytes int64) {
	q.next = max(q.next, b.number+1)
	rejected, err := q.read(b.number)
	if err != nil {
		q.lose(bytes, err.Error())
		return
	}
	q.enter(b, rejected)
}

// terminalPositions are those of rejected events.
func (q *quarantine) terminalPositions() intervals {
	q.mu.Lock()
	defer q.mu.Unlock()
	terminal := q.notes.of(acknowledged, rejectedAgain)
	for _, k := range q.kept {
		terminal = append(terminal, interval{k.position, k.position})
	}
	return mergeIntervals(terminal)
}

// reportedPositions are those whose loss was reported before, or is none.
func (q *quarantine) reportedPositions() intervals {
	q.mu.Lock()
	defer q.mu.Unlock()
	return mergeIntervals(q.notes.of(reported, unconfirmed))
}
