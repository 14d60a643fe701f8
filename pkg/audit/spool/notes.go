package spool

import (
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// notesName is the file of the notes, in the folder of the quarantine.
const notesName = "notes.txt"

// What a note can say.
const (
	// acknowledged: a rejected event is left out of its file; if it has a position
	// the log is done with that.
	acknowledged = "acknowledged"
	// rejectedAgain: an event that was in quarantine already was rejected at this
	// position as well, which the log is done with.
	rejectedAgain = "rejected-again"
	// reported: the loss of these positions is in quarantine.
	reported = "reported"
	// unconfirmed: nobody was promised what is missing at these positions.
	unconfirmed = "unconfirmed"
)

// note is what the log, and the files of rejected events, do not know of
// themselves. It is a line of text behind its CRC-32C.
type note struct {
	what string
	// at is what the note is about; zero for a rejected event that is not in the log.
	at interval
	// batch and id are those of an acknowledged event.
	batch uint64
	id    uuid.UUID
}

const noteFormat = "%s positions %d to %d file %d event %s"

func (n *note) String() string {
	return fmt.Sprintf(noteFormat, n.what, n.at.from, n.at.to, n.batch, n.id)
}

func appendNote(to []byte, n *note) []byte {
	text := n.String()
	return fmt.Appendf(to, "%08x %s\n", crc32.Checksum([]byte(text), castagnoli), text)
}

// parseNote reads a line. What a crash tore, or a medium changed, is no note.
func parseNote(line string) (note, bool) {
	checksum, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if checksum != fmt.Sprintf("%08x", crc32.Checksum([]byte(text), castagnoli)) {
		return note{}, false
	}
	var n note
	var id string
	if _, err := fmt.Sscanf(text, noteFormat, &n.what, &n.at.from, &n.at.to, &n.batch, &id); err != nil {
		return note{}, false
	}
	var err error
	if n.id, err = uuid.Parse(id); err != nil {
		return note{}, false
	}
	return n, n.String() == text
}

// spareNotes is how many notes a file may have that nobody needs any more,
// beside as many as are needed.
const spareNotes = 1000

// notes are a file of lines: new ones are appended to it, and it is written
// anew when most of them are not needed any more.
type notes struct {
	files Files
	path  string

	all []note
	// bytes is the size of the file; negative if it must be written anew, because
	// nobody knows what is behind the last line that was confirmed.
	bytes int64
	// limit is how many lines the file may have before it is written anew.
	limit int
}

// openNotes reads the notes of an earlier process. lost counts the bytes that are none.
func openNotes(files Files, dir string) (n *notes, lost int64, err error) {
	n = &notes{files: files, path: filepath.Join(dir, notesName), bytes: -1}
	text, err := load(files, n.path, 0, nil)
	if isGone(err) {
		return n, 0, nil
	}
	if err != nil {
		return n, 0, err
	}
	for line := range strings.Lines(string(text)) {
		if parsed, ok := parseNote(line); ok {
			n.all = append(n.all, parsed)
		} else {
			lost += int64(len(line))
		}
	}
	return n, lost, nil
}

// add makes notes durable. After an error they may, but need not, be there when
// the spool is opened again.
func (n *notes) add(added []note, needed func(*note) bool) error {
	if n.bytes >= 0 && len(n.all)+len(added) <= n.limit {
		return n.append(added)
	}
	return n.rewrite(slices.Concat(slices.DeleteFunc(slices.Clone(n.all), func(old note) bool { return !needed(&old) }), added))
}

func (n *notes) append(added []note) error {
	var lines []byte
	for i := range added {
		lines = appendNote(lines, &added[i])
	}
	at := n.bytes
	n.bytes = -1
	file, err := n.files.Open(n.path)
	if err != nil {
		return err //nolint:wrapcheck // names the operation and the path
	}
	if err := fill(file, lines, at); err != nil {
		return fmt.Errorf("write %s: %w", n.path, err)
	}
	n.all = append(n.all, added...)
	n.bytes = at + int64(len(lines))
	return nil
}

func (n *notes) rewrite(all []note) error {
	var lines []byte
	for i := range all {
		lines = appendNote(lines, &all[i])
	}
	n.bytes = -1
	if err := replaceFile(n.files, n.path, lines); err != nil {
		return err
	}
	n.all, n.bytes, n.limit = all, int64(len(lines)), 2*len(all)+spareNotes
	return nil
}

// of gives the positions of which a note says one of some things.
func (n *notes) of(what ...string) []interval {
	var found []interval
	for i := range n.all {
		if slices.Contains(what, n.all[i].what) {
			found = append(found, n.all[i].at)
		}
	}
	return found
}
