package spool

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

// nameOnlyBytes is what a rejected event without its contents counts for.
const nameOnlyBytes = 1024

// temporary ends the names of files that are being written.
const temporary = ".tmp"

// quarantine keeps the rejected events: a file for each call, in the order of
// their numbers, and notes of those that were acknowledged since.
type quarantine struct {
	dir                 string
	files               Files
	maxEvents, maxBytes int
	// log tells up to where the log knows durably what is terminal, and its newest position.
	log func() (terminal, newest uint64)

	// mu guards all below but lost, and is held during reads and writes; nobody
	// who holds it is waited for by the log, or by State.
	mu      sync.Mutex
	batches []*batch // in the order of their numbers
	kept    map[uuid.UUID]listedEvent
	bytes   int
	next    uint64
	notes   *notes
	// doubtful are the numbers of files that could not be written, and may be there nevertheless.
	doubtful []uint64
	closed   bool

	lostMu sync.Mutex // guards lost; never held during reads and writes
	lost   damage
}

// batch is a file of rejected events.
type batch struct {
	number uint64
	// events are how many of the file are kept; discarded are the others in it.
	events    int
	discarded map[uuid.UUID]bool
	// unreadable says that its damage is counted.
	unreadable bool
}

// listedEvent is what is known of a rejected event without its file.
type listedEvent struct {
	batch    *batch
	size     int
	position uint64
}

func batchName(number uint64) string { return fmt.Sprintf("%020d.json", number) }

func (q *quarantine) path(number uint64) string { return filepath.Join(q.dir, batchName(number)) }

// damage is what could not be read. It waits for no medium.
func (q *quarantine) damage() damage {
	q.lostMu.Lock()
	defer q.lostMu.Unlock()
	return q.lost
}

func (q *quarantine) lose(bytes int64, place string) {
	q.lostMu.Lock()
	defer q.lostMu.Unlock()
	q.lost.bytes += bytes
	q.lost.places = append(slices.Clip(q.lost.places), place)
}

func quarantinedBytes(q *audit.Quarantined) int {
	if q.Event == nil {
		return nameOnlyBytes
	}
	return q.Event.Footprint()
}

// enter notes the events of a file, but for those that an older one has already.
func (q *quarantine) enter(b *batch, rejected []audit.Quarantined) {
	for i := range rejected {
		id := rejected[i].ID
		if _, known := q.kept[id]; known || b.discarded[id] {
			continue
		}
		size := quarantinedBytes(&rejected[i])
		q.kept[id] = listedEvent{b, size, rejected[i].Position}
		q.bytes += size
		b.events++
	}
	q.batches = append(q.batches, b)
}

// add keeps the events that are not there yet.
func (q *quarantine) add(rejected []audit.Quarantined) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.ready(); err != nil {
		return err
	}
	_, newest := q.log()
	var added []audit.Quarantined
	var again []note
	bytes := 0
	seen := make(map[uuid.UUID]bool)
	for i := range rejected {
		r := &rejected[i]
		if r.Position > newest {
			return fmt.Errorf("event %s is at position %d, the newest is %d", r.ID, r.Position, newest)
		}
		if old, known := q.kept[r.ID]; known || seen[r.ID] {
			if r.Position > 0 && r.Position != old.position {
				again = append(again, note{what: rejectedAgain, at: interval{r.Position, r.Position}, id: r.ID})
			}
			continue
		}
		seen[r.ID] = true
		bytes += quarantinedBytes(r)
		added = append(added, *r)
	}
	if len(added) > 0 {
		if err := q.addFile(added, bytes); err != nil {
			return err
		}
	}
	return full(q.note(again))
}

// addFile keeps events of so many bytes in a file of their own.
func (q *quarantine) addFile(added []audit.Quarantined, bytes int) error {
	if len(q.kept)+len(added) > q.maxEvents || q.bytes+bytes > q.maxBytes {
		return fmt.Errorf("%w: the quarantine has %d events of %d bytes, at most %d of %d: acknowledge some",
			audit.ErrFull, len(q.kept), q.bytes, q.maxEvents, q.maxBytes)
	}
	number := q.next
	q.next++
	if err := q.write(number, added); err != nil {
		q.doubtful = append(q.doubtful, number)
		return full(err)
	}
	q.enter(&batch{number: number}, added)
	return nil
}

// ready says whether files may be changed. One that could not be written, but
// may be there, is removed first: nobody knows what is in it.
func (q *quarantine) ready() error {
	if q.closed {
		return errClosed
	}
	if len(q.doubtful) == 0 {
		return nil
	}
	if err := q.remove(q.doubtful); err != nil {
		return err
	}
	q.doubtful = nil
	return nil
}

// remove removes files durably.
func (q *quarantine) remove(numbers []uint64) error {
	for _, number := range numbers {
		if err := q.files.Remove(q.path(number)); err != nil && !isGone(err) {
			return fmt.Errorf("remove: %w", err)
		}
	}
	if err := q.files.SyncDir(q.dir); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

// list reads the events. What can be read comes together with the error that
// says what cannot; damaged files are part of the damage.
func (q *quarantine) list() ([]audit.Quarantined, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errClosed
	}
	all := make([]audit.Quarantined, 0, len(q.kept))
	var failed []error
	for _, b := range q.batches {
		rejected, err := q.readOf(b)
		switch {
		case errors.Is(err, errUnreadable):
			if !b.unreadable {
				b.unreadable = true
				q.lose(0, err.Error())
			}
		case err != nil:
			failed = append(failed, err)
		}
		all = append(all, rejected...)
	}
	return all, errors.Join(failed...)
}

// readOf reads the events of a batch that are kept, and not in an older one as well.
func (q *quarantine) readOf(b *batch) ([]audit.Quarantined, error) {
	if b.events == 0 {
		return nil, nil
	}
	rejected, err := q.read(b.number)
	return slices.DeleteFunc(rejected, func(r audit.Quarantined) bool { return q.kept[r.ID].batch != b }), err
}

// discard removes events. A note of them is durable; their files go, or are
// written anew, when most of what is in them is not kept any more.
func (q *quarantine) discard(ids []uuid.UUID) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.ready(); err != nil {
		return err
	}
	var discarded []note
	seen := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		if k, known := q.kept[id]; known && !seen[id] {
			seen[id] = true
			discarded = append(discarded, note{what: acknowledged, at: interval{k.position, k.position}, batch: k.batch.number, id: id})
		}
	}
	if len(discarded) == 0 {
		return nil
	}
	if err := q.note(discarded); err != nil {
		return full(err)
	}
	changed := make(map[*batch]bool)
	for id := range seen {
		k := q.kept[id]
		k.batch.discard(id)
		changed[k.batch] = true
		q.bytes -= k.size
		delete(q.kept, id)
	}
	q.tidy(changed)
	return nil
}

func (b *batch) discard(id uuid.UUID) {
	if b.discarded == nil {
		b.discarded = make(map[uuid.UUID]bool)
	}
	b.discarded[id] = true
	b.events--
}

// tidy gives the room of discarded events back. The notes say what is discarded,
// so whatever goes wrong here is left to the next time, or to the next Open.
func (q *quarantine) tidy(changed map[*batch]bool) {
	var empty []uint64
	for _, b := range q.batches {
		switch {
		case b.events == 0:
			empty = append(empty, b.number)
		case changed[b] && b.events < len(b.discarded):
			rejected, err := q.readOf(b)
			if err == nil && q.write(b.number, rejected) == nil {
				b.discarded = nil
			}
		}
	}
	if len(empty) > 0 && q.remove(empty) == nil {
		q.batches = slices.DeleteFunc(q.batches, func(b *batch) bool { return b.events == 0 })
	}
}

// note makes notes durable, together with those of before that are still needed.
func (q *quarantine) note(added []note) error {
	if len(added) == 0 {
		return nil
	}
	terminal, _ := q.log()
	return q.notes.add(added, func(n *note) bool {
		return n.at.to > terminal || q.hides(n.batch, n.id)
	})
}

// hides says whether a discarded event is in the file of its batch still.
func (q *quarantine) hides(number uint64, id uuid.UUID) bool {
	i, found := slices.BinarySearchFunc(q.batches, number, func(b *batch, number uint64) int { return cmp.Compare(b.number, number) })
	return found && q.batches[i].discarded[id]
}

// remember is note for those without the lock.
func (q *quarantine) remember(what string, positions intervals) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed
	}
	added := make([]note, 0, len(positions))
	for _, at := range positions {
		added = append(added, note{what: what, at: at})
	}
	return q.note(added)
}

func (q *quarantine) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
