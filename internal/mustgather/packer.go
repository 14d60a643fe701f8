package mustgather

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// packer writes a tar file, compressed. It is safe for concurrent use.
type packer struct {
	mu     sync.Mutex
	file   *os.File
	gzip   *gzip.Writer
	tar    *tar.Writer
	failed error // what was written before cannot be continued

	sums map[string]string // the SHA-256 of each file
}

func newPacker(path string) (*packer, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, privateFile)
	if err != nil {
		return nil, fmt.Errorf("cannot write the archive, choose another directory with --dest: %w", err)
	}
	compressed, err := gzip.NewWriterLevel(file, gzip.BestSpeed) // the reader waits; texts shrink well at any level
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the archive: %w", err), file.Close())
	}
	return &packer{file: file, gzip: compressed, tar: tar.NewWriter(compressed), sums: map[string]string{}}, nil
}

// add writes a file below a folder.
func (p *packer) add(folder, name, text string) error {
	digest := sha256.Sum256([]byte(text))
	header := tar.Header{
		Typeflag: tar.TypeReg, Name: folder + "/" + name, Mode: privateFile, Size: int64(len(text)), ModTime: time.Now().Truncate(time.Second),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	err := p.tar.WriteHeader(&header)
	if err == nil {
		_, err = p.tar.Write([]byte(text))
	}
	if err != nil {
		p.failed = fmt.Errorf("pack %s: %w", name, err)
		return p.failed
	}
	p.sums[name] = hex.EncodeToString(digest[:])
	return nil
}

// checksums has a line for each file, as sha256sum -c reads it.
func (p *packer) checksums() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.sums)) {
		lines.WriteString(p.sums[name] + "  " + name + "\n")
	}
	return lines.String()
}

// close ends the file. A packer that has failed has an error here, too.
func (p *packer) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := errors.Join(p.failed, p.tar.Close(), p.gzip.Close(), p.file.Close()); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}
