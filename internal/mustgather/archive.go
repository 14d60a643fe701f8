package mustgather

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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

	checksums = "SHA256SUMS"
)

// archive is the directory that is collected into, and packed at the end.
type archive struct {
	dir    string
	redact *redact.Redactor

	mu  sync.Mutex
	log *os.File // must-gather.log

	made sync.Map // the directories that exist
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
	if a.log, err = os.OpenFile(filepath.Join(dir, "must-gather.log"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, privateFile); err != nil {
		return nil, fmt.Errorf("cannot write to %s: %w", dir, err)
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

func (a *archive) write(name, text string) error {
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

// pack ends the archive: it writes the checksums of all files, and the file that holds them.
func (a *archive) pack() (path string, err error) {
	if err := a.log.Close(); err != nil {
		return "", fmt.Errorf("write must-gather.log: %w", err)
	}
	if err := a.sum(); err != nil {
		return "", err
	}
	path = a.dir + ".tar.gz"
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, privateFile)
	if err != nil {
		return "", fmt.Errorf("write the archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	compressed, err := gzip.NewWriterLevel(file, gzip.BestSpeed) // the reader waits; texts shrink well at any level
	if err != nil {
		return "", fmt.Errorf("write the archive: %w", err)
	}
	packed := tar.NewWriter(compressed)
	err = a.walk(func(name string, info fs.FileInfo) error { return a.add(packed, name, info) })
	if err = errors.Join(err, packed.Close(), compressed.Close()); err != nil {
		return "", fmt.Errorf("write %s (what was collected is in %s): %w", path, a.dir, err)
	}
	return path, nil
}

func (a *archive) add(packed *tar.Writer, name string, info fs.FileInfo) error {
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	header.Name = filepath.ToSlash(filepath.Join(filepath.Base(a.dir), name))
	header.Uname, header.Gname, header.Uid, header.Gid = "", "", 0, 0
	if err := packed.WriteHeader(header); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	file, err := os.Open(filepath.Join(a.dir, name))
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	_, err = io.Copy(packed, file)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	return nil
}

// sum writes a line for each file, as sha256sum -c reads it.
func (a *archive) sum() error {
	var sums strings.Builder
	err := a.walk(func(name string, _ fs.FileInfo) error {
		file, err := os.Open(filepath.Join(a.dir, name))
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		digest := sha256.New()
		_, err = io.Copy(digest, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(digest.Sum(nil)), filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		return err
	}
	return a.write(checksums, sums.String())
}

// walk visits all files by their names below the directory: first the version, then in the order of names.
func (a *archive) walk(visit func(name string, info fs.FileInfo) error) error {
	const first = "version"
	each := func(name string, entry fs.DirEntry) error {
		info, err := entry.Info()
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		return visit(name, info)
	}
	for _, pass := range []bool{true, false} {
		err := filepath.WalkDir(a.dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			name, err := filepath.Rel(a.dir, path)
			if err != nil || (name == first) != pass {
				return err //nolint:wrapcheck // of a path below the directory
			}
			return each(name, entry)
		})
		if err != nil {
			return fmt.Errorf("read what was collected: %w", err)
		}
	}
	return nil
}
