package mustgather

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kubernaut.ai/internal/mustgather/redact"
)

func emptyArchive(t *testing.T, dest string) *archive {
	t.Helper()
	r, err := redact.New()
	if err != nil {
		t.Fatal(err)
	}
	a, err := newArchive(dest, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestArchiveHasChecksumsAndIsPrivate(t *testing.T) {
	t.Parallel()
	a := emptyArchive(t, t.TempDir())
	for _, file := range [][2]string{{"version", "v\n"}, {"b/c.txt", "password=hunter2\x1b[31m red\n"}, {"empty", ""}} {
		if err := a.save(file[0], file[1]); err != nil {
			t.Fatal(err)
		}
	}
	path, err := a.pack()
	if err != nil {
		t.Fatal(err)
	}
	files, order := unpacked(t, path)
	if order[0] != "version" {
		t.Errorf("the first file is %s", order[0])
	}
	if got := files["b/c.txt"]; got != "password=[redacted] red\n" {
		t.Errorf("b/c.txt is %q", got)
	}
	if _, ok := files["empty"]; ok {
		t.Error("an empty file was saved")
	}
	sums := files[checksums]
	delete(files, checksums)
	for name, text := range files {
		digest := sha256.Sum256([]byte(text))
		if line := hex.EncodeToString(digest[:]) + "  " + name + "\n"; !strings.Contains(sums, line) {
			t.Errorf("%s lacks %q:\n%s", checksums, line, sums)
		}
	}
	if strings.Count(sums, "\n") != len(files) {
		t.Errorf("%s:\n%s", checksums, sums)
	}
}

func TestArchivesOfTheSameSecondDoNotMeet(t *testing.T) {
	t.Parallel()
	dest := t.TempDir()
	seen := map[string]bool{}
	for range 5 {
		path, err := emptyArchive(t, dest).pack()
		if err != nil || seen[path] {
			t.Fatalf("archive %s, %v", path, err)
		}
		seen[path] = true
	}
}

func TestArchiveHoldsWhatTheDirectoryHolds(t *testing.T) {
	t.Parallel()
	a := emptyArchive(t, t.TempDir())
	if err := errors.Join(a.write("version", "v\n"), a.draft("timestamp", "begun\n")); err != nil {
		t.Fatal(err)
	}
	var saving sync.WaitGroup
	for i := range 50 {
		saving.Go(func() {
			if err := a.save(fmt.Sprintf("dir-%d/file-%d.txt", i%7, i), strings.Repeat(fmt.Sprintf("line of %d\n", i), 100*i+1)); err != nil {
				t.Error(err)
			}
		})
	}
	saving.Wait()
	a.note("the end is near")
	if err := a.write("timestamp", "begun\nended\n"); err != nil {
		t.Fatal(err)
	}
	path, err := a.pack()
	if err != nil {
		t.Fatal(err)
	}
	files, order := unpacked(t, path)
	if len(order) != len(files) || len(files) != 54 {
		t.Errorf("there are %d entries of %d files: %v", len(order), len(files), order)
	}
	for name, text := range files {
		if on, err := os.ReadFile(filepath.Join(a.dir, name)); err != nil || string(on) != text {
			t.Errorf("%s is %q in the archive, %q in the directory (%v)", name, text, on, err)
		}
	}
}

func TestAnArchiveThatCannotBeWrittenIsRemoved(t *testing.T) {
	t.Parallel()
	dest := t.TempDir()
	a := emptyArchive(t, dest)
	if err := errors.Join(a.write("version", "v\n"), a.packed.file.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.pack(); err == nil || !strings.Contains(err.Error(), a.dir) {
		t.Errorf("got %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dest, "*.tar.gz*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
	if text, err := os.ReadFile(filepath.Join(a.dir, "version")); err != nil || string(text) != "v\n" {
		t.Errorf("the directory has %q, %v", text, err)
	}
}

func TestNamesStayInTheArchive(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"a/../b": "a_.._b", "..": "_..", "rr-1": "rr-1", "a\x1b[b": "a__b", strings.Repeat("x", 300): strings.Repeat("x", 200)} {
		if got := safeName(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
	if _, err := newArchive(filepath.Join(os.DevNull, "x"), nil); err == nil {
		t.Error("an archive was made below a device")
	}
}

func unpacked(t *testing.T, path string) (files map[string]string, order []string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	decompressed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for reader := tar.NewReader(decompressed); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, order
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Mode&0o077 != 0 {
			t.Errorf("%s has mode %o", header.Name, header.Mode)
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(header.Name, "/")
		files[name] = string(text)
		order = append(order, name)
	}
}
