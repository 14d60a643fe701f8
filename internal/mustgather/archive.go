package mustgather

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"kubernaut.ai/internal/mustgather/redact"
	"kubernaut.ai/internal/printable"
)

const (
	privateDir  = 0o700
	privateFile = 0o600

	checksums, logName = "SHA256SUMS", "must-gather.log"

	// partial ends the name of an archive that is being written.
	partial = ".tar.gz.part"
)

// archive is the directory that is collected into, and the file that holds the same. Each file is packed while others
// are collected.
type archive struct {
	dir    string
	redact *redact.Redactor

	mu  sync.Mutex
	log *os.File // must-gather.log

	made   sync.Map // the directories that exist
	packed *packer
}

// newArchive makes a new directory below dest.
func newArchive(dest string, r *redact.Redactor) (*archive, error) {
	dest, err := filepath.Abs(dest)
	if err == nil {
		err = os.MkdirAll(dest, 0o750) //nolint:mnd // what is in it is private
	}
	if err != nil {
		return nil, fmt.Errorf("cannot create %s, choose another directory with --dest: %w", dest, err)
	}
	name := filepath.Join(dest, "must-gather-"+time.Now().UTC().Format("20060102-150405"))
	dir := name
	for again := 1; ; again++ {
		_, taken := os.Lstat(dir + ".tar.gz")
		if err = os.Mkdir(dir, privateDir); err == nil && errors.Is(taken, fs.ErrNotExist) {
			break
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("cannot write to %s, choose another directory with --dest: %w", dest, err)
		}
		if err == nil {
			_ = os.Remove(dir) // the archive of that name belongs to another run
		}
		dir = fmt.Sprintf("%s-%d", name, again)
	}
	a := &archive{dir: dir, redact: r}
	if a.log, err = os.OpenFile(filepath.Join(dir, logName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, privateFile); err != nil {
		return nil, fmt.Errorf("cannot write to %s: %w", dir, err)
	}
	if a.packed, err = newPacker(dir + partial); err != nil {
		return nil, err
	}
	return a, nil
}

// clean is what every text passes before it is written.
func (a *archive) clean(text string) string {
	return printable.Text(a.redact.Text(printable.Text(text)))
}

// save writes a file, without secrets. An empty text leaves no file.
func (a *archive) save(name, text string) error {
	if text == "" {
		return nil
	}
	return a.write(name, a.clean(text))
}

// write writes a text as it is.
func (a *archive) write(name, text string) error {
	if err := a.draft(name, text); err != nil {
		return err
	}
	return a.packed.add(filepath.Base(a.dir), name, text)
}

// draft writes a text that is not final: only into the directory.
func (a *archive) draft(name, text string) error {
	path := filepath.Join(a.dir, filepath.FromSlash(name))
	if _, made := a.made.Load(filepath.Dir(path)); !made {
		if err := os.MkdirAll(filepath.Dir(path), privateDir); err != nil {
			return fmt.Errorf("save %s: %w", name, err)
		}
		a.made.Store(filepath.Dir(path), true)
	}
	if err := os.WriteFile(path, []byte(text), privateFile); err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	return nil
}

// read returns a file that was collected, else "".
func (a *archive) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(a.dir, filepath.FromSlash(name))) // what is missing is named elsewhere
	return string(text)
}

// note logs what happens.
func (a *archive) note(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = fmt.Fprintf(a.log, "%s %s\n", time.Now().UTC().Format(time.RFC3339), printable.Line(a.clean(text))) // best effort
}

// unsafe matches what an object's name may have and a file's should not.
var unsafe = regexp.MustCompile(`[^A-Za-z0-9._:-]`)

func safeName(name string) string {
	const longest = 200 // bytes
	name = unsafe.ReplaceAllString(name, "_")
	if strings.Trim(name, ".") == "" {
		return "_" + name
	}
	return name[:min(longest, len(name))]
}

// discard removes the file that is not complete.
func (a *archive) discard() {
	_ = a.packed.file.Close() // what is in it does not matter
	_ = os.Remove(a.dir + partial)
}

// pack ends the archive: it adds the log, and the checksums of all files. After an error, there is only the directory.
func (a *archive) pack() (path string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the archive (what was collected is in %s): %w", a.dir, err)
			a.discard()
		}
	}()
	if err := a.log.Close(); err != nil {
		return "", err //nolint:wrapcheck // names the file
	}
	if err := a.packed.add(filepath.Base(a.dir), logName, a.read(logName)); err != nil {
		return "", err
	}
	if err := a.write(checksums, a.packed.checksums()); err != nil {
		return "", err
	}
	if err := a.packed.close(); err != nil {
		return "", err
	}
	path = a.dir + ".tar.gz"
	return path, os.Rename(a.dir+partial, path) //nolint:wrapcheck // names the files
}
